"""What a run says: a line of JSON for each step, a readable log, and its curves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dsocr.training.curves import draw_curves

_EVERY = 20.0  # seconds between two readable lines


class Log:
    """log.jsonl, log.txt and curves.png in a folder; `say` gets the readable lines as well."""

    def __init__(self, folder: Path, say: Callable[[str], None], *, silent: bool = False) -> None:
        """silent: nothing is written or said; all but one of several processes are."""
        self.folder, self._say, self._silent = folder, say, silent
        self._began = self._said = time.monotonic()
        self._smooth: dict[str, float] = {}
        self._named = ""

    def step(
        self, stage: int, name: str, step: int, steps: int, figures: Mapping[str, float], *, last: bool = False
    ) -> None:
        """The figures of a step; every so often, and at a stage's end, a readable line of their running means."""
        self._write({"stage": stage, "step": step, **figures})
        if self._named != name:
            self._smooth, self._named = {}, name
        self._smooth |= {key: 0.95 * self._smooth.get(key, value) + 0.05 * value for key, value in figures.items()}
        if last or step == steps or time.monotonic() - self._said > _EVERY:
            self._said = time.monotonic()
            self.say(f"{name} {step}/{steps} " + " ".join(f"{key} {value:.3f}" for key, value in self._smooth.items()))

    def measured(self, stage: int, step: int, cer: float) -> None:
        """The character error rate on kept pages."""
        self._write({"stage": stage, "step": step, "held-out CER": cer})
        self.say(f"kept pages read with {cer:.1%} character errors")

    def say(self, line: str) -> None:
        """One readable line."""
        if self._silent:
            return
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            print(f"{time.monotonic() - self._began:7.0f} s  {line}", file=file)
        self._say(line)

    def forget_after(self, stage: int, step: int) -> None:
        """Drop what was written after a state was saved: a run that goes on will write it again."""
        file = self.folder / "log.jsonl"
        if self._silent or not file.exists():
            return
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _place(line) <= (stage, step)]
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def draw(self) -> None:
        """Draw the curves as they stand."""
        if not self._silent:
            draw_curves(self.folder / "log.jsonl", self.folder / "curves.png")

    def _write(self, entry: Mapping[str, object]) -> None:
        if self._silent:
            return
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _place(line: str) -> tuple[int, int]:
    """Where in the run a line was written; one that a kill cut off counts as later than all."""
    try:
        entry = json.loads(line)
    except ValueError:
        return 2**31, 0
    return entry["stage"], entry["step"]
