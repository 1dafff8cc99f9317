"""The whole corpus of bad files: each has its outcome, none of them takes the run, the time or the memory with it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bad_inputs import ARCHIVES, PDFS, PICTURES, Archive, Case, write_names

from dsocr.errors import InputError
from dsocr.pages import BrokenPage, Child, Page, open_pages, walk_inputs

MEMORY = 360 * 2**20  # the cap for all of these files, of which none is large
SECONDS = 3  # of a processor, for one page

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="needs limits for processes"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL"),
]


@dataclass
class Run:
    """What came of every file of one run, by name, and the most memory that its child has had."""

    folder: Path
    pages: dict[str, list[Page | BrokenPage]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    peaks: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All files in one folder, read one after another by one child, as a person would who names them all."""
    folder = tmp_path_factory.mktemp("corpus")
    for case in (*PDFS, *PICTURES, *ARCHIVES):
        (folder / case.name).write_bytes(case.make())
    write_names(folder)
    run = Run(folder)
    asked = {case.name: case.asked for case in PDFS}
    before = seen(folder)
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    with Child(seconds=SECONDS, memory=MEMORY) as child:
        for found in walk_inputs(paths):
            try:
                pages = open_pages(found.source, apart=child, pages=asked.get(found.name))
                run.pages[found.name] = list(pages)
            except InputError as error:
                run.refused[found.name] = str(error)
            run.peaks.append(peak(child.number))
    assert seen(folder) == before
    return run


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir()}


def peak(process: int | None) -> int:
    """Bytes of memory at most; 0 where the process is gone or nobody counts."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmPeak:")[2].split()[0]) * 1024


@pytest.mark.parametrize("case", [*PDFS, *PICTURES], ids=lambda case: case.name)
def test_every_file_has_its_outcome(case: Case, run: Run) -> None:
    if case.refused:
        message = run.refused[case.name]
        assert case.refused in message
        assert message.isprintable()
        return
    pages = run.pages[case.name]
    assert len(pages) == case.pages
    assert {page.number: page.reason for page in pages if isinstance(page, BrokenPage)}.keys() == case.broken.keys()
    assert all(
        word in page.reason for page in pages if isinstance(page, BrokenPage) for word in [case.broken[page.number]]
    )
    assert case.size in (None, pages[0].size if isinstance(pages[0], Page) else None)
    assert case.text in (None, pages[0].text if isinstance(pages[0], Page) else None)


@pytest.mark.parametrize("case", ARCHIVES, ids=lambda case: case.name)
def test_every_archive_has_its_outcome(case: Archive, run: Run) -> None:
    if case.refused:
        assert case.refused in run.refused[case.name]
        return
    outcomes = {**dict.fromkeys(run.pages, ""), **run.refused}
    found = {
        name.removeprefix(f"{case.name}/"): said for name, said in outcomes.items() if name.startswith(f"{case.name}/")
    }
    assert found.keys() == case.members.keys()
    for name, words in case.members.items():
        assert words in found[name]
        assert bool(words) == bool(found[name])


def test_good_files_are_read_among_the_bad_ones(run: Run) -> None:
    (page,) = run.pages["good.png"]
    assert isinstance(page, Page)
    assert page.size == (400, 560)
    assert len(run.pages["-rf.png"]) == 1


def test_no_file_is_left_out(run: Run) -> None:
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith(".")}
    assert names <= {name.partition("/")[0] for name in (*run.pages, *run.refused)}


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs a system that counts")
def test_the_child_stays_beneath_its_cap(run: Run) -> None:
    assert 0 < max(run.peaks) <= MEMORY


def test_what_is_refused_says_so_in_one_line_and_never_in_a_strangers_words(run: Run) -> None:
    for message in run.refused.values():
        assert message.isprintable()
        assert "0x" not in message


def test_harmless_files_have_the_same_outcome_without_a_child(run: Run) -> None:
    for case in (*PDFS, *PICTURES):
        if case.mean:
            continue
        try:
            here: object = [_shown(page) for page in open_pages(run.folder / case.name, pages=case.asked)]
        except InputError as error:
            here = str(error)
        there = [_shown(page) for page in run.pages.get(case.name, [])]
        assert here == (there or run.refused[case.name])


def _shown(page: Page | BrokenPage) -> object:
    return page if isinstance(page, BrokenPage) else (page.number, page.size, page.dpi, page.text, page.image.tobytes())
