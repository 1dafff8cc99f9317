"""The line that moves tells how far a run is, how fast it goes and when it will end, and costs no time of its own."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from dsocr import Options
from dsocr.jobs import progress as progress_room
from dsocr.jobs.manifest import Outcome
from dsocr.jobs.progress import Progress
from dsocr.pages.inputs import Input


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress_room, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def end_page(progress: Progress, clock, seconds: float, tokens: int = 10) -> None:
    clock.now += seconds
    progress.ended(Outcome("a.pdf", 1, "ok", tokens=tokens))


def test_rates_and_the_time_left_are_those_of_the_pages_so_far(clock):
    progress = Progress()
    progress.begin([], Options())
    progress.total = 40
    for _ in range(10):
        end_page(progress, clock, seconds=2)
    assert progress.line() == "10 of 40 pages · 0.5 pages/s · 5 tokens/s · 60.0 s left"


def test_without_a_total_there_is_no_time_left(clock):
    progress = Progress()
    progress.begin([], Options())
    assert progress.line() == "0 pages"
    end_page(progress, clock, seconds=1)
    assert progress.line() == "1 page · 1 pages/s · 10 tokens/s"


def test_pages_that_were_known_from_before_are_soon_forgotten(clock):
    progress = Progress()
    progress.begin([], Options())
    for _ in range(1000):
        end_page(progress, clock, seconds=0.001)
    for _ in range(64):
        end_page(progress, clock, seconds=4)
    assert "0.25 pages/s" in progress.line()


def test_inputs_without_a_page_are_no_pages():
    progress = Progress()
    progress.ended(Outcome("a.pdf", None, "failed"))
    assert progress.done == 0


def test_a_line_is_shown_a_few_times_a_second(clock):
    shown: list[str] = []
    progress = Progress(shown.append)
    progress.begin([], Options())
    for _ in range(100):
        end_page(progress, clock, seconds=0.01)
    assert 4 <= len(shown) <= 6
    assert shown[-1].endswith("· a.pdf page 1")


class TestCounting:
    def count(self, *sources, shows: bool = True) -> int | None:
        progress = Progress((lambda _: None) if shows else None)
        progress.begin([Input(source, str(source)) for source in sources], Options())
        end = time.monotonic() + 20
        while time.monotonic() < end and any(thread.name == "dsocr-counter" for thread in threading.enumerate()):
            time.sleep(0.01)
        return progress.total

    def test_all_pages_of_all_inputs_are_counted(self, tmp_path, make_pdf):
        for name, pages in (("a.pdf", 3), ("b.pdf", 4)):
            (tmp_path / name).write_bytes(make_pdf(["x"] * pages))
        assert self.count(tmp_path / "a.pdf", tmp_path / "missing.pdf", tmp_path / "b.pdf") == 7
        assert self.count(tmp_path / "a.pdf", shows=False) is None

    @pytest.mark.parametrize("source", ["-", "https://host.example/a.pdf"])
    def test_what_cannot_be_counted_leaves_the_total_open(self, source):
        assert self.count(source) is None

    def test_a_run_that_is_over_is_counted_no_further(self, tmp_path, make_pdf):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x"]))
        progress = Progress(lambda _: None)
        progress.stop()
        progress.begin([Input(tmp_path / "a.pdf", "a.pdf")] * 3, Options())
        assert progress.total is None
