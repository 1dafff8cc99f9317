"""Files and answers that mean harm, through a whole run of the command line: each costs itself and nothing else."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dsocr.cli import app
from dsocr.pages import Child

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))
from bad_inputs import ARCHIVES, PDFS, PICTURES, Archive, Case, encode, many_pages, print_page, write_names

MEMORY, SECONDS = 512 * 2**20, 5  # for a page, so that those that are made to hang or to eat memory end soon
LIMIT = 300  # seconds for all of them, on a machine that is busy with other things
MANY = 100  # pages of the file that has many; all of them are read

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="needs limits for processes"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL"),
]


@dataclass
class Corpus:
    """What one run left: its lines of the manifest by input, what it said, and what changed outside its folder."""

    folder: Path
    lines: dict[str, list[dict]]
    result: Result
    seconds: float
    changed: dict


@pytest.fixture(scope="module")
def corpus(checkpoint, tmp_path_factory) -> Corpus:
    root = tmp_path_factory.mktemp("strangers")
    folder, out = root / "in", root / "out"
    folder.mkdir()
    for case in (*PDFS, *PICTURES, *ARCHIVES):
        (folder / case.name).write_bytes(many_pages(MANY) if getattr(case, "asked", None) else case.make())
    write_names(folder)
    for number in range(3):
        (folder / f"good {number}.png").write_bytes(encode(print_page((400 + number, 560)), "PNG"))
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    before, began = seen(root), time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsocr.pages.Child", lambda **_: Child(seconds=SECONDS, memory=MEMORY))
        result = says(checkpoint, *paths, "-o", out, "--format", "md,json")
    lines = defaultdict(list)
    for line in (out / "manifest.jsonl").read_text().splitlines():
        form = json.loads(line)
        lines[form["input"].removeprefix(f"{folder}/")].append(form)
    after = {name: about for name, about in seen(root).items() if not name.startswith("out")}
    return Corpus(folder, dict(lines), result, time.monotonic() - began, dict(before.items() ^ after.items()))


def says(checkpoint: Path, *arguments: object) -> Result:
    words = ["read", "--model", checkpoint, "--mode", "tiny", "--max-tokens", 2, "--no-cache", *arguments]
    return CliRunner().invoke(app, [os.fspath(word) if isinstance(word, Path) else str(word) for word in words])


def seen(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


class TestFiles:
    def test_the_run_comes_to_its_end_in_time_and_says_what_the_first_mistake_was(self, corpus):
        assert isinstance(corpus.result.exception, SystemExit)
        assert corpus.result.exit_code == 2
        assert "Traceback" not in corpus.result.stderr
        assert corpus.seconds < LIMIT

    def test_nothing_is_written_outside_the_folder_for_answers(self, corpus):
        assert corpus.changed == {}

    def test_every_file_is_in_the_manifest(self, corpus):
        names = {path.name for path in corpus.folder.iterdir() if not path.name.startswith(".")}
        assert {name.partition("/")[0] for name in corpus.lines} == names

    @pytest.mark.parametrize("case", [*PDFS, *PICTURES], ids=lambda case: case.name)
    def test_every_page_of_a_file_has_its_line_and_its_reason(self, corpus, case: Case):
        lines = corpus.lines[case.name]
        if case.refused:
            (line,) = lines
            assert (line["page"], line["status"]) == (None, "failed")
            assert case.refused in line["reason"]
            return
        pages = {line["page"]: line for line in lines}
        assert sorted(pages) == list(range(1, max(pages) + 1))
        assert len(pages) == (MANY if case.asked else case.pages)
        failed = {number: line["reason"] for number, line in pages.items() if line["status"] == "failed"}
        assert failed.keys() == case.broken.keys()
        assert all(word in failed[number] for number, word in case.broken.items())

    @pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
    def test_so_has_every_member_of_an_archive(self, corpus, archive: Archive):
        wanted = {f"{archive.name}/{name}": words for name, words in archive.members.items()}
        wanted |= {archive.name: archive.refused} if archive.refused else {}
        found = {name: lines for name, lines in corpus.lines.items() if name.partition("/")[0] == archive.name}
        assert found.keys() == wanted.keys()
        for name, words in wanted.items():
            (line,) = found[name]
            assert words in (line["reason"] or "")
            assert (line["status"] == "failed") == bool(words)

    def test_the_good_files_among_them_are_read(self, corpus):
        for number in range(3):
            (line,) = corpus.lines[f"good {number}.png"]
            assert (line["page"], line["status"], line["tokens"]) == (1, "truncated", 2)

    def test_what_is_said_about_them_is_printable_and_one_line_each(self, corpus):
        said = corpus.result.stderr.splitlines()
        assert all(line.startswith("dsocr: ") for line in said)
        assert all(line.isprintable() for line in said)
