"""The files of benchmarks: JSON that a stranger wrote, taken apart field by field, and the texts that were read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from dsocr.errors import FileAccessError, InputError


@dataclass(frozen=True)
class Entry:
    """One object of a benchmark's JSON; where: how a message tells it from the others."""

    fields: dict[str, object]
    where: str

    def text(self, name: str) -> str:
        """A field that must be there and be a string."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise InputError(f'{self.where}: "{name}" is not a text; is this the benchmark\'s own file?')
        return value

    def number(self, name: str) -> float | None:
        """A field that is a number; None where it is not there or something else."""
        value = self.fields.get(name)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def count(self, name: str) -> int | None:
        """A field that says how many; None where it is not there or no number, InputError for a number that cannot."""
        value = self.number(name)
        if value is None:
            return None
        if value < 0 or not (isinstance(value, int) or math.isfinite(value)):
            raise InputError(
                f'{self.where}: "{name}" is {value}, which is no count; is this the benchmark\'s own file?'
            )
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """A field that is true or false, as in default where it is not there."""
        value = self.fields.get(name)
        return value if isinstance(value, bool) else default

    def maybe(self, name: str) -> str:
        """A field that may be left out; then it is empty."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def entry(self, name: str) -> Entry:
        """A field that holds an object; one without fields where it is not there."""
        value = self.fields.get(name)
        return Entry(value if isinstance(value, dict) else {}, f"{self.where}, {name}")

    def entries(self, name: str, *, at_least: int = 0) -> list[Entry]:
        """A field that holds a list of objects."""
        value = self.fields.get(name, [])
        if not isinstance(value, list) or len(value) < at_least or not all(isinstance(item, dict) for item in value):
            raise InputError(f'{self.where}: "{name}" is not a list of objects; is this the benchmark\'s own file?')
        return [Entry(item, f"{self.where}, {name} {number}") for number, item in enumerate(value, 1)]


def read_object(path: Path) -> Entry:
    """The object that a JSON file holds; InputError where it holds something else."""
    value = _load(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: this is no JSON object; is this the file that was meant?")
    return Entry(value, str(path))


def read_list(path: Path) -> list[Entry]:
    """The objects of a JSON file that holds a list; InputError where it does not."""
    value = _load(path)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{path}: this is no list of pages; is this the benchmark's own file?")
    return [Entry(item, f"{path}: page {number}") for number, item in enumerate(value, 1)]


def read_lines(path: Path) -> list[Entry]:
    """The objects of a file with one JSON object on each line, empty lines left out."""
    entries = []
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is no JSON ({error}); download the file again") from None
        if not isinstance(value, dict):
            raise InputError(f"{path}: line {number} is no JSON object; is this the benchmark's own file?")
        entries.append(Entry(value, f"{path}: line {number}"))
    return entries


def read_text(folder: Path, *names: str) -> str | None:
    """The first of these files that is there; None where none is. Bytes that are no UTF-8 become question marks."""
    for name in names:
        if (folder / name).is_file():
            return _read(folder / name, errors="replace")
    return None


def _load(path: Path) -> object:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: this is no JSON ({error}); download the file again") from None


def _read(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors=errors)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: this is no UTF-8 text ({error}); download the file again") from None
    except OSError as error:
        raise FileAccessError(f"{path} cannot be read: {error.strerror}") from None
