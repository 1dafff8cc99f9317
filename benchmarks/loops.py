"""How many loops are noticed, how soon, how exactly the good part is kept, and how often an honest page is stopped.

`python benchmarks/loops.py [--seed 1] [--each 10]`: made-up pages, so many of each kind (benchmarks/loop_pages).
`python benchmarks/loops.py --folder FOLDER`: the text files in it instead, cut into pages; none is taken to loop.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.loop_pages.looping import LATE, Looping, looping_pages
from benchmarks.loop_pages.repetitive import Repetitive, repetitive_pages
from dsocr.engine.loops import BYTES_PER_TOKEN, Loop, LoopWatch

SOON = 200  # tokens
PAGE = 5000  # characters of a page cut from a file


@dataclass(frozen=True)
class Caught:
    """What became of a looping page: the tokens written after the first copy, and the characters kept beyond it."""

    page: Looping
    loop: Loop | None
    surplus: float
    beyond: int

    @property
    def soon(self) -> bool:
        return self.loop is not None and self.surplus <= SOON


def catch(page: Looping) -> Caught:
    """Reads the page until a loop is noticed."""
    loop, read = watch(page.text)
    surplus = len(page.text[page.onset : read].encode()) / BYTES_PER_TOKEN
    return Caught(page, loop, surplus, loop.start - page.onset if loop else 0)


def watch(text: str) -> tuple[Loop | None, int]:
    """The loop, if any, and how many characters had been written by then."""
    watching, read = LoopWatch(), 0
    for piece in pieces(text, random.Random(len(text))):
        read += len(piece)
        if loop := watching.feed(piece):
            return loop, read
    return None, read


def pieces(text: str, rng: random.Random) -> Iterator[str]:
    """The text as tokens would bring it, one to six characters at once."""
    place = 0
    while place < len(text):
        size = rng.choice((1, 2, 3, 3, 4, 4, 5, 6))
        yield text[place : place + size]
        place += size


def table(title: str, caught: Iterable[Caught]) -> Iterator[str]:
    """A line for each kind of loop, and one for all."""
    yield f"\n| {title} | caught | within {SOON} | median | 95 % | worst | to the letter | kept beyond |"
    yield "|---|---|---|---|---|---|---|---|"
    by_kind: dict[str, list[Caught]] = defaultdict(list)
    for each in caught:
        by_kind[each.page.kind].append(each)
    for kind, own in by_kind.items():
        yield _line(kind, own)
    yield _line("all", [each for own in by_kind.values() for each in own])


def _line(kind: str, own: list[Caught]) -> str:
    found = [each for each in own if each.loop]
    surplus = sorted(each.surplus for each in found) or [0.0]
    beyond = sorted(each.beyond for each in found) or [0]
    most = surplus[int(0.95 * (len(surplus) - 1))]
    tokens = f"{statistics.median(surplus):.0f} | {most:.0f} | {surplus[-1]:.0f}"
    exact = sum(each.beyond == 0 for each in found)
    counts = f"{len(found)} of {len(own)} | {sum(each.soon for each in own)}"
    return f"| {kind} | {counts} | {tokens} | {exact} | {beyond[0]} to {beyond[-1]} |"


def cut_pages(folder: Path) -> Iterator[Repetitive]:
    """The text files below a folder, page by page; what is no UTF-8 is passed over."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for begin in range(0, len(text), PAGE):
            yield Repetitive(f"{path.relative_to(folder)} from {begin}", text[begin : begin + PAGE])


def alarms(pages: Iterable[Repetitive]) -> Iterator[str]:
    """A line for each honest page that was stopped, and one for all."""
    count = stopped = 0
    for count, page in enumerate(pages, start=1):  # noqa: B007
        if loop := watch(page.text)[0]:
            stopped += 1
            yield f"{page.kind}: {loop.reason}"
    yield f"{count} honest pages, false alarms: {stopped}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.folder:
        print("\n".join(alarms(cut_pages(asked.folder))))
        return
    caught = [catch(page) for page in looping_pages(asked.seed, asked.each)]
    print("\n".join(table("loops that say something", (each for each in caught if each.page.kind not in LATE))))
    print("\n".join(table("loops like honest pages", (each for each in caught if each.page.kind in LATE))))
    print()
    print("\n".join(alarms(repetitive_pages(asked.seed, asked.each))))


if __name__ == "__main__":
    main()
