"""Killed at any moment, a run loses no more than the pages in flight, and the same command finishes the job."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from dsocr.cli import app

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no way to kill")

# Every run is a process of its own, begun where PyTorch is loaded already.
PROCESSES = get_context("forkserver" if hasattr(os, "fork") else None)
PROCESSES.set_forkserver_preload(["dsocr.cli", "dsocr.ocr", "dsocr.jobs.job"])


def dsocr_read(words: list[str]) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    app(["read", *words])


def draw(number: int) -> Image.Image:
    page = Image.new("RGB", (300, 120), "white")
    ImageDraw.Draw(page).text((20, 20), f"Page {number} of the book\nand a second line", fill="black")
    return page


def answers(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the manifest and the record, which tell another story each time."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def manifest(folder: Path) -> list[dict]:
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Library:
    """Two books and three single pages, and the command that reads them."""

    def __init__(self, root: Path, checkpoint: Path) -> None:
        self.root, self.sources = root, root / "scans"
        self.sources.mkdir()
        numbers = iter(range(1, 100))
        for name, count in (("a.tif", 6), ("b.png", 1), ("c.tif", 5), ("d.png", 1), ("e.png", 1)):
            first, *others = (draw(next(numbers)) for _ in range(count))
            options = {"save_all": True, "append_images": others} if others else {}
            first.save(self.sources / name, **options)
        self.checkpoint = checkpoint

    def start(self, out: str, cache: str) -> BaseProcess:
        words = ["--model", self.checkpoint, "--mode", "tiny", "--max-tokens", "60", "--batch", "2"]
        words += [self.sources, "-o", self.root / out, "--cache", self.root / cache, "--format", "md,json,picture"]
        running = PROCESSES.Process(target=dsocr_read, args=([str(word) for word in words],))
        running.start()
        return running

    def read(self, out: str, cache: str) -> float:
        began = time.monotonic()
        running = self.start(out, cache)
        running.join()
        assert running.exitcode in (0, 10)
        return time.monotonic() - began

    def kill(self, out: str, cache: str, moment: float, *, once_it_reads: bool) -> None:
        running = self.start(out, cache)
        while once_it_reads and running.is_alive() and not list((self.root / cache).rglob("*.json")):
            time.sleep(0.002)
        time.sleep(moment)
        running.kill()
        running.join()

    def check(self, undisturbed: dict[str, bytes]) -> None:
        """What stands in the folder after a kill is whole, and what was told as read is kept."""
        for name, content in answers(self.root / "out").items():
            assert name.endswith(".part") or content == undisturbed[name]
        told = [line for line in manifest(self.root / "out") if line["page"]]
        assert len(list((self.root / "cache").rglob("*.json"))) >= len({(line["input"], line["page"]) for line in told})

    def finish(self, undisturbed: dict[str, bytes]) -> None:
        """One more run reads what is left, and nothing tells that there ever was a kill."""
        self.read("out", "cache")
        assert answers(self.root / "out") == undisturbed
        lines, last = manifest(self.root / "out"), manifest(self.root / "out")[-1]["run"]
        final = [line for line in lines if line["run"] == last]
        assert [(Path(line["input"]).name, line["page"]) for line in final] == [
            *(("a.tif", number) for number in range(1, 7)),
            ("b.png", 1),
            *(("c.tif", number) for number in range(1, 6)),
            *(("d.png", 1), ("e.png", 1)),
        ]
        told_before = {(line["input"], line["page"]) for line in lines if line["run"] != last}
        assert told_before <= {(line["input"], line["page"]) for line in final if line["cached"]}


def kill_and_finish(library: Library, kills: int, *, once_it_reads: bool) -> None:
    first = PROCESSES.Process(target=int)  # PyTorch is loaded for it, and does not count as a part of the run
    first.start()
    first.join()
    whole = library.read("undisturbed", "own cache")
    undisturbed = answers(library.root / "undisturbed")
    assert len(undisturbed) == 5 + 5 + 14
    moments = random.Random(kills)
    for _ in range(kills):
        library.kill("out", "cache", moments.uniform(0, 0.3 if once_it_reads else whole), once_it_reads=once_it_reads)
        library.check(undisturbed)
    library.finish(undisturbed)


def test_a_run_that_is_killed_three_times_is_finished_by_the_same_command(checkpoint, tmp_path):
    kill_and_finish(Library(tmp_path, checkpoint), 3, once_it_reads=True)


@pytest.mark.slow
@pytest.mark.parametrize("once_it_reads", [True, False])
def test_a_run_that_is_killed_twenty_times_is_finished_by_the_same_command(checkpoint, tmp_path, once_it_reads):
    kill_and_finish(Library(tmp_path, checkpoint), 20, once_it_reads=once_it_reads)
