"""How every page ended, as JSON Lines: one line a page, written as it ends, run after run, and never half a line."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from dsocr.errors import FileAccessError, InputError

NAME = "manifest.jsonl"
_FIRST = b'{"run": '
_TAIL = 2**16  # bytes; no line is longer


def now() -> str:
    """The time of day as all files of a job write it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Facts:
    """What all pages of a run have in common; the run's name is new every time."""

    model: str
    mode: str
    prompt: str
    device: str
    dtype: str
    version: str
    checkpoint: str | None = None  # tells two checkpoints of one name apart
    run: str = field(default_factory=lambda: f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")


@dataclass(frozen=True)
class Outcome:
    """How a page ended, or, where page is None, an input that gave no page, or whose answers were not all written.

    attempts, tokens and seconds are those of the page's reading; a page from the cache has the tokens of its text and
    took no seconds. rotated: degrees, clockwise, by which the page was turned to be read. confidence: as a Transcript
    has it.
    """

    input: str
    page: int | None
    status: str
    reason: str | None = None
    attempts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cached: bool = False
    rotated: int = 0
    confidence: float | None = None


class Manifest:
    """A file that grows by a line for each outcome; close it after use."""

    def __init__(self, path: Path) -> None:
        """Goes on where the file ends; InputError if it is no manifest, FileAccessError if it may not be written."""
        self.path = path
        self._modified: tuple[str, str | None] = ("", None)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _mend(path)
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close
        except OSError as error:
            raise FileAccessError(f"{path}: cannot be written ({error.strerror or error})") from error

    def write(self, outcome: Outcome, facts: Facts) -> None:
        """Add a line; it is in the file when this returns."""
        form = {
            "run": facts.run,
            "time": now(),
            **asdict(outcome),
            "seconds": round(outcome.seconds, 3),
            "confidence": None if outcome.confidence is None else round(outcome.confidence, 4),
            "modified": self._modified_at(outcome.input),
            **asdict(facts),
        }
        line = json.dumps(form).encode("ascii") + b"\n"
        try:
            if self._file.write(line) < len(line):  # in one call, so that no kill can come in between
                raise OSError("no space left")
        except OSError as error:
            raise FileAccessError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def close(self) -> None:
        """No more lines."""
        self._file.close()

    def _modified_at(self, name: str) -> str | None:
        """When a file was last changed, asked once for all its pages; None for what is no file."""
        if self._modified[0] != name:
            self._modified = name, _modified_at(name)
        return self._modified[1]


def _mend(path: Path) -> None:
    """End the last line; one that was cut off is dropped."""
    with open(path, "r+b") as file:
        if not _FIRST.startswith(file.read(len(_FIRST))):
            raise InputError(f"{path} is there and is no manifest; move it away, or name another with --manifest")
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - _TAIL))
        tail = file.read()
        last = tail[tail.rfind(b"\n") + 1 :]
        if not last:
            return
        try:
            json.loads(last)
            file.write(b"\n")
        except ValueError:
            file.truncate(start + len(tail) - len(last))


def _modified_at(name: str) -> str | None:
    try:
        modified = os.stat(name).st_mtime
    except (OSError, ValueError):
        return None
    return datetime.fromtimestamp(modified, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
