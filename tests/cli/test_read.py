"""The command line: answers on stdout, all else on stderr, one line for a mistake, and an exit code that tells."""

from __future__ import annotations

import inspect
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import pytest
import typer
from drawn_pages import inked
from PIL import Image
from typer.testing import CliRunner

import dsocr
from dsocr.cli import app, console
from dsocr.cli import read as read_command
from dsocr.errors import FileAccessError, InputError
from dsocr.jobs.answers import RECORD
from dsocr.jobs.forms import KINDS, TEXTS
from dsocr.jobs.manifest import Manifest
from dsocr.kernels.library import level
from dsocr.model import speed
from dsocr.pages import DEFAULT_DPI, DEFAULT_MAX_PIXELS, apart

FIGURE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\nwords"


def dsocr_says(*arguments, stdin: bytes = b""):
    """One run in this process: exit_code, stdout and stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def read_apart(checkpoint):
    """`dsocr read` with the micro checkpoint in its smallest mode."""
    return lambda *arguments, **stdin: dsocr_says("read", "--model", checkpoint, "--mode", "tiny", *arguments, **stdin)


@pytest.fixture
def read(read_apart):
    """The same without a process for the files, which takes its time to start."""
    return partial(read_apart, "--no-apart")


def picture(colour: str = "white", format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    inked(colour=colour).save(buffer, format, **options)
    return buffer.getvalue()


def pages(*colours: str) -> bytes:
    others = [inked(colour=colour) for colour in colours[1:]]
    return picture(colours[0], format="TIFF", save_all=True, append_images=others)


def manifest(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def page(tmp_path) -> Path:
    path = tmp_path / "page.png"
    path.write_bytes(picture())
    return path


def mistakes(result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("dsocr: error: ")]


@pytest.fixture
def quiet_log():
    """What a run has the log tell is over with the test."""
    log = logging.getLogger("dsocr")
    before, level = log.handlers[:], log.level
    yield
    log.handlers[:] = before
    log.setLevel(level)


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


class TestAnswers:
    def test_markdown_alone_is_on_stdout_and_notes_are_on_stderr(self, read, page, dictate):
        dictate("# Hello, wörld")
        result = read(page)
        assert (result.exit_code, result.stdout) == (0, "# Hello, wörld\n")
        assert result.stderr.startswith(f"dsocr: {page} page 1: ok, 14 tokens, ")
        assert result.stderr.count("\n") == 1

    @pytest.mark.parametrize("compiled", [True, False])
    def test_verbose_says_what_computes(self, read, page, quiet_log, monkeypatch, compiled):
        if not compiled:
            monkeypatch.setattr(speed, "level", lambda: None)
            monkeypatch.setattr(speed, "compile_decoder", lambda decoder: None)
        elif level() is None:
            pytest.skip("no compiled core is here")
        words = f"the compiled core ({level()})" if compiled else "plain PyTorch: no compiled core is here"
        assert f"dsocr: computing on cpu in float32, with {words}" in read(page, "-v", "--max-tokens", 2).stderr

    def test_a_real_answer_is_on_stdout_and_nothing_else(self, read, page, checkpoint):
        result = read(page, "--max-tokens", 4)
        options = {"mode": "tiny", "sampling": dsocr.Sampling(max_tokens=4)}
        document = dsocr.load(checkpoint).read(page, **options)
        assert result.stdout == dsocr.to_markdown(document, images_dir=None) + "\n"

    def test_no_link_leads_from_stdout_to_a_figure_that_is_nowhere(self, read, page, dictate):
        dictate(FIGURE)
        assert read(page).stdout == read(page, "--format", "md,md").stdout == "words\n"
        assert read(page, "--format", "md,txt").stdout == "words\nwords\n"

    def test_json_on_stdout_is_json(self, read, page, dictate):
        dictate(FIGURE)
        document = json.loads(read(page, "--format", "json").stdout)
        assert document["source"] == str(page)
        assert [form["raw"] for form in document["pages"]] == [FIGURE]

    def test_a_folder_gets_every_form(self, read, page, tmp_path, dictate):
        dictate(FIGURE)
        out = tmp_path / "a" / "new folder"
        result = read(page, "-o", out, "--format", "md,json,txt,picture")
        assert (result.exit_code, result.stdout) == (0, "")
        assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
            *("images", "manifest.jsonl", "page.json", "page.md", "page.txt", "page_layout_1.jpg")
        ]
        assert (out / "page.md").read_text() == "![](images/page/1_0.jpg)\n\nwords\n"
        assert Image.open(out / "images/page/1_0.jpg").size == (39, 29)

    def test_two_files_of_one_stem_do_not_overwrite_each_other(self, read, page, make_pdf, tmp_path, dictate):
        (tmp_path / "page.pdf").write_bytes(make_pdf(["x"]))
        dictate("png", "pdf")
        read(page, tmp_path / "page.pdf", "-o", tmp_path / "out")
        assert (tmp_path / "out/page.md").read_text() == "png\n"
        assert (tmp_path / "out/page.pdf.md").read_text() == "pdf\n"

    def test_a_folder_is_read_file_by_file(self, read, tmp_path, dictate):
        for number in (10, 9):
            (tmp_path / f"scan {number}.png").write_bytes(picture())
        dictate("nine", "ten")
        result = read(tmp_path)
        assert result.stdout == "nine\n\n\n<--- Page Split --->\n\nten\n"
        assert result.exit_code == 0

    def test_standard_input_is_a_file_called_stdin(self, read, tmp_path, dictate):
        dictate("piped")
        assert read("-", stdin=picture()).stdout == "piped\n"
        read("-", "-o", tmp_path, stdin=picture())
        assert (tmp_path / "stdin.md").read_text() == "piped\n"

    def test_only_the_pages_asked_for_are_read(self, read, make_pdf, tmp_path, dictate):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x"] * 5))
        dictate("two", "four", "five")
        result = read(tmp_path / "a.pdf", "--pages", "2,4-", "--format", "json")
        pages = json.loads(result.stdout)["pages"]
        assert [(form["number"], form["raw"]) for form in pages] == [(2, "two"), (4, "four"), (5, "five")]

    def test_a_prompt_that_asks_for_words_shows_them(self, read, page, dictate):
        dictate("<|ref|>Hello<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>")
        assert read(page, "--prompt", "ocr").stdout == "Hello\n"
        assert read(page, "--prompt", "ocr", "--format", "txt").stdout == "Hello\n"
        assert read(page).stdout == "\n"

    def test_quiet_leaves_only_errors(self, read, page, tmp_path, dictate):
        dictate("words")
        result = read(page, tmp_path / "nothing.png", page, "--quiet")
        assert result.stdout.count("words") == 2
        assert result.stderr == f"dsocr: error: {tmp_path / 'nothing.png'}: no such file\n"

    def test_a_model_that_nobody_chose_is_named(self, page, dictate, monkeypatch, checkpoint):
        monkeypatch.setattr("dsocr.model.checkpoint.cached_checkpoint", lambda name: None)
        dictate("words")
        note = "dsocr: reading with nano; for deepseek-ai/DeepSeek-OCR run: dsocr pull\n"
        assert dsocr_says("read", page).stderr.startswith(note)
        assert dsocr_says("read", page, "-q").stderr == ""


class TestDamage:
    @pytest.fixture
    def read(self, read_apart):
        return read_apart

    @pytest.fixture
    def rubbish(self, tmp_path, make_pdf) -> list[Path]:
        (tmp_path / "empty.pdf").write_bytes(b"")
        (tmp_path / "text.png").write_text("I am no picture.\n" * 99)
        (tmp_path / "short.pdf").write_bytes(make_pdf(["x"])[:300])
        (tmp_path / "short.png").write_bytes(picture()[:60])
        Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "notes.txt").write_text("no page")
        return [tmp_path / name for name in ("empty.pdf", "text.png", "short.pdf", "short.png", "dot.png", "folder")]

    def test_rubbish_costs_a_line_each_and_no_good_file(self, read, page, rubbish, tmp_path, dictate):
        dictate("first", "last")
        bad = [*rubbish, tmp_path / "missing.png", tmp_path / "bad\nname.png"]
        result = read(page, *bad, page)
        assert (result.exit_code, result.stdout) == (2, "first\n\n\n<--- Page Split --->\n\nlast\n")
        assert len(mistakes(result)) == len(bad)
        for path, line in zip(bad, mistakes(result), strict=True):
            assert line.startswith(f"dsocr: error: {path}".replace("\n", "\\n"))
        assert result.stderr.splitlines()[-len(bad) - 2 :] == [
            f"dsocr: {len(bad)} inputs could not be read",
            "dsocr: left out: 1 file (.txt 1)",
            *(f"dsocr: not ok: {path}: failed".replace("\n", "\\n") for path in bad),
        ]

    def test_a_folder_without_pages_says_so(self, read, rubbish):
        assert "a directory without pages" in read(rubbish[-1]).stderr

    def test_a_broken_page_keeps_its_number_and_is_an_error_even_when_quiet(self, read, make_pdf, tmp_path, dictate):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["one", None, "three"]))
        dictate("one", "three")
        result = read(tmp_path / "a.pdf", "-q")
        comment = "<!-- page 2: failed: the page is damaged or missing in the PDF -->"
        assert result.stdout.split("\n\n<--- Page Split --->\n\n") == ["one", comment, "three\n"]
        assert mistakes(result) == [
            f"dsocr: error: {tmp_path / 'a.pdf'} page 2: failed (the page is damaged or missing in the PDF)"
        ]
        assert result.exit_code == 10

    def test_a_page_cut_short_by_its_limit_is_shown_and_told_by_the_exit_code(self, read, page):
        result = read(page, "--max-tokens", 2)
        assert result.exit_code == 10
        assert result.stdout.endswith("<!-- page 1: truncated: the limit of new tokens was reached -->\n")
        assert "page 1: truncated (the limit of new tokens was reached), 2 tokens" in result.stderr

    def test_a_file_that_cannot_be_read_counts_for_more_than_a_page_cut_short(self, read, page, tmp_path, dictate):
        dictate("words", finish_reason="length")
        assert read(page, tmp_path / "missing.png").exit_code == 2

    def test_a_locked_pdf_needs_its_password(self, read, page, make_pdf, tmp_path, dictate):
        path = tmp_path / "a.pdf"
        path.write_bytes(make_pdf(["secret"], password="open sesame"))
        dictate("words")
        without, wrong = read(path, page), read(path, "--password", "please")
        assert (without.exit_code, without.stdout, len(mistakes(without))) == (8, "words\n", 1)
        assert "--password" in without.stderr
        assert (wrong.exit_code, wrong.stdout, len(mistakes(wrong))) == (8, "", 1)
        right = read(path, "--password", "open sesame")
        assert (right.exit_code, right.stdout) == (0, "words\n")


class TestApart:
    """Files are opened in a process of their own unless somebody says otherwise."""

    @pytest.fixture
    def read(self, read_apart):
        return read_apart

    @pytest.fixture
    def started(self, monkeypatch) -> list[int]:
        """The numbers of the children that were started."""
        numbers: list[int] = []

        class Life(apart._Life):
            def __init__(self, *arguments) -> None:
                super().__init__(*arguments)
                numbers.append(self.number)

        monkeypatch.setattr(apart, "_Life", Life)
        return numbers

    def test_one_child_opens_all_files_of_a_run_and_is_gone_after_it(
        self, read, page, make_pdf, tmp_path, dictate, started
    ):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x"]))
        dictate("words")
        assert read(page, tmp_path / "a.pdf", page).exit_code == 0
        assert len(started) == 1
        with pytest.raises(ProcessLookupError):
            os.kill(started[0], 0)

    def test_without_it_there_is_none(self, read, page, dictate, started):
        dictate("words")
        assert (read(page, "--no-apart").stdout, started) == ("words\n", [])

    def test_a_dry_run_measures_there_too(self, read, page, started):
        assert (read(page, "--dry-run").exit_code, len(started)) == (0, 1)

    def test_a_child_that_dies_costs_the_page_it_was_at(self, read, page, make_pdf, tmp_path, dictate, monkeypatch):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["one", "two", "three"]))
        ask = apart._Life.ask

        def kill(life, request, file=None, *, most=0):
            if request["do"] == "read" and request["page"] == 2:
                os.kill(life.number, signal.SIGKILL)
            return ask(life, request, file, most=most)

        monkeypatch.setattr(apart._Life, "ask", kill)
        dictate("one", "three", "words")
        result = read(tmp_path / "a.pdf", page, "-o", tmp_path / "out")
        ends = [(line["page"], line["status"]) for line in manifest(tmp_path / "out")]
        assert (result.exit_code, ends) == (10, [(1, "ok"), (2, "failed"), (3, "ok"), (1, "ok")])
        assert "its decoder crashed" in manifest(tmp_path / "out")[1]["reason"]

    def test_a_larger_limit_of_pixels_brings_more_memory_with_it(self):
        assert apart.memory_for(100) == apart.memory_for(DEFAULT_MAX_PIXELS) == apart.DEFAULT_MEMORY
        assert apart.memory_for(3 * DEFAULT_MAX_PIXELS) == 3 * apart.DEFAULT_MEMORY
        assert apart.memory_for(10**30) < 2**63


class TestTurning:
    @pytest.mark.parametrize(
        ("turn", "size"), [("off", (80, 60)), ("90", (60, 80)), ("180", (80, 60)), ("270", (60, 80))]
    )
    def test_pages_are_turned_and_all_that_is_told_of_them_says_so(self, read, page, tmp_path, dictate, turn, size):
        dictate("words")
        result = read(page, "--rotate", turn, "-o", tmp_path, "--format", "json,picture")
        (form,) = json.loads((tmp_path / "page.json").read_text())["pages"]
        degrees = 0 if turn == "off" else int(turn)
        assert (form["rotated"], form["width"], form["height"]) == (degrees, *size)
        assert Image.open(tmp_path / "page_layout_1.jpg").size == size
        assert manifest(tmp_path)[0]["rotated"] == degrees
        assert (f"turned by {turn} degrees" in result.stderr) == bool(degrees)

    @pytest.mark.parametrize("turn", ["90", "180", "270", "auto"])
    def test_a_page_that_was_turned_is_known_again(self, read, page, tmp_path, dictate, turn, monkeypatch):
        monkeypatch.setattr("dsocr.ocr.OCR._find_turn", lambda *_: 270)
        monkeypatch.setattr("dsocr.reading.looks_turned", lambda _: True)
        dictate("words")
        for folder in ("out", "again"):
            read(page, "--rotate", turn, "-o", tmp_path / folder, "--format", "json,picture")
        (first,), (second,) = manifest(tmp_path / "out"), manifest(tmp_path / "again")
        assert (first["cached"], second["cached"]) == (False, True)
        assert first["rotated"] == second["rotated"] == int(turn.replace("auto", "270"))
        for name in ("page.json", "page_layout_1.jpg"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


class TestMistakes:
    @pytest.mark.parametrize(
        ("option", "value", "way_out"),
        [
            ("--mode", "huge", "known: tiny, small"),
            ("--mode", "", "known: tiny, small"),
            ("--prompt", "", "document, ocr"),
            ("--prompt", "locate:", "locate:TEXT"),
            ("--prompt", "<image> <image>", "write it once"),
            ("--format", "doc", "known: md, json"),
            ("--format", "picture", "add -o DIR"),
            ("--dtype", "int2", "known: auto, float32"),
            ("--device", "abacus", "known: auto, cpu"),
            ("--model", "nonsense", "hub name"),
            ("--pages", "last", "1-3,7,10-"),
            ("--dpi", "0", "144"),
            ("--dpi", "nan", "144"),
            ("--max-pixels", "0", "limit"),
            ("--max-tokens", "0", "1 or more"),
            ("--temperature", "-1", "0 or more"),
            ("--ngram-size", "0", "1 or more"),
        ],
    )
    def test_a_wrong_option_is_one_line_however_many_files(self, read, page, option, value, way_out):
        result = read(page, page, f"{option}={value}")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("dsocr: error: ")
        assert result.stderr.count("\n") == 1
        assert way_out in result.stderr

    @pytest.mark.parametrize("option", ["--mode=huge", "--prompt=", "--pages=x", "--dpi=0", "--format=x"])
    def test_a_wrong_option_is_found_before_a_model_is_loaded(self, page, option, monkeypatch):
        def load(*_):
            raise AssertionError("too late")

        monkeypatch.setattr("dsocr.ocr.load", load)
        assert dsocr_says("read", page, "--model", "some/model", option).exit_code == 2

    @pytest.mark.parametrize(
        "arguments", [["read"], ["read", "a.png", "--ngram-rule", "x"], ["read", "--nonsense"], ["x"]]
    )
    def test_what_is_no_command_at_all_points_to_the_help(self, arguments):
        result = dsocr_says(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--help" in result.stderr

    def test_a_file_where_the_folder_should_be_is_an_access_error(self, read, page):
        result = read(page, "-o", page)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (5, "", 1)
        assert f"{page}: cannot be written" in result.stderr

    def test_one_answer_that_cannot_be_written_does_not_cost_the_others(self, read, page, tmp_path, dictate):
        (tmp_path / "other.png").write_bytes(picture())
        (tmp_path / "out" / "page.md").mkdir(parents=True)
        dictate("words")
        result = read(page, tmp_path / "other.png", "-o", tmp_path / "out")
        assert (result.exit_code, len(mistakes(result))) == (5, 1)
        assert (tmp_path / "out" / "other.md").read_text() == "words\n"
        assert (
            f"dsocr: 1 document not written, or not in all forms\ndsocr: not ok: {page}: unwritten\n" in result.stderr
        )
        ends = [(Path(line["input"]).name, line["page"], line["status"]) for line in manifest(tmp_path / "out")]
        assert ends == [("page.png", 1, "ok"), ("page.png", None, "unwritten"), ("other.png", 1, "ok")]
        assert "page.md: cannot be written (Is a directory)" in manifest(tmp_path / "out")[1]["reason"]

    def test_a_document_that_could_not_be_written_is_not_there(self, read, page, tmp_path, dictate):
        (tmp_path / "out" / "page_layout_1.jpg").mkdir(parents=True)
        asked = (page, "-o", tmp_path / "out", "--format", "md,picture", "--skip-existing", "--no-cache")
        for text in ("one", "two"):
            dictate(text)
            assert read(*asked).exit_code == 5
            assert (tmp_path / "out" / "page.md").read_text() == f"{text}\n"

    def test_a_manifest_that_cannot_be_written_costs_no_page(self, read, page, tmp_path, dictate, monkeypatch):
        write = Manifest.write

        def fill_up(manifest, outcome, facts):
            if outcome.page == 2:
                raise FileAccessError("m.jsonl: cannot be written (No space left on device)")
            write(manifest, outcome, facts)

        monkeypatch.setattr(Manifest, "write", fill_up)
        (tmp_path / "two.tif").write_bytes(pages("red", "green"))
        dictate("one", "two", "words")
        result = read(tmp_path / "two.tif", page, tmp_path / "missing.png", "-o", tmp_path / "out")
        assert result.exit_code == 5
        assert {path.name for path in (tmp_path / "out").glob("*.md")} == {"two.md", "page.md"}
        assert [line["page"] for line in manifest(tmp_path / "out")] == [1]
        assert " s: 3 ok\ndsocr: 1 input could not be read\n" in result.stderr
        assert result.stderr.endswith(f"dsocr: the manifest is not whole: {tmp_path / 'out' / 'manifest.jsonl'}\n")


class TestEnds:
    def test_an_interruption_keeps_the_pages_read_before_and_tells_of_every_other(self, read, page, tmp_path, dictate):
        (tmp_path / "four.tif").write_bytes(pages("red", "green", "blue", "black"))
        dictate("first", "one", KeyboardInterrupt())
        result = read(page, tmp_path / "four.tif", page, "-o", tmp_path / "out")
        assert (result.exit_code, result.stdout) == (130, "")
        assert result.stderr.splitlines()[-1] == "dsocr: interrupted"
        assert " s: 2 ok, 3 skipped\ndsocr: 1 input skipped\n" in result.stderr
        found = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.md")}
        told = [f"<!-- page {n}: skipped: the run was interrupted before this was read -->" for n in (2, 3, 4)]
        assert found == {"page.md": "first\n", "four.md": "\n\n<--- Page Split --->\n\n".join(["one", *told]) + "\n"}
        ends = [(Path(line["input"]).name, line["page"], line["status"]) for line in manifest(tmp_path / "out")]
        skipped = [("four.tif", number, "skipped") for number in (2, 3, 4)]
        assert ends == [("page.png", 1, "ok"), ("four.tif", 1, "ok"), *skipped, ("page.png", None, "skipped")]

    def test_a_picture_that_cannot_be_written_does_not_cost_the_text(self, read, page, tmp_path, dictate):
        (tmp_path / "out" / "page_layout_1.jpg").mkdir(parents=True)
        dictate("words")
        result = read(page, "-o", tmp_path / "out", "--format", "md,picture")
        assert (result.exit_code, len(mistakes(result))) == (5, 1)
        assert (tmp_path / "out" / "page.md").read_text() == "words\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk to be full")
    def test_a_full_disk_behind_stdout_is_one_line(self, monkeypatch, capsys):
        with open("/dev/full", "w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            with pytest.raises(typer.Exit) as caught:
                console.leave(lambda: console.to_stdout("words") or 0)
        assert caught.value.exit_code == 5
        assert capsys.readouterr().err == "dsocr: error: stdout: cannot be written (No space left on device)\n"

    def test_a_message_is_one_line_whatever_it_quotes(self, capsys):
        def work() -> int:
            raise InputError("bad\nname\r\n")

        with pytest.raises(typer.Exit):
            console.leave(work)
        assert capsys.readouterr().err == "dsocr: error: bad name\n"


class TestJobs:
    """What belongs to many files and many runs."""

    @pytest.fixture
    def scans(self, tmp_path) -> list[Path]:
        for colour in ("red", "green"):
            (tmp_path / f"{colour}.png").write_bytes(picture(colour))
        return [tmp_path / "red.png", tmp_path / "green.png"]

    def test_every_page_has_a_line_in_the_manifest(self, read, scans, tmp_path, make_pdf, dictate):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["one", None]))
        dictate("words")
        result = read(*scans, tmp_path / "a.pdf", tmp_path / "missing.png", "-o", tmp_path / "out")
        lines = manifest(tmp_path / "out")
        ends = [(Path(line["input"]).name, line["page"], line["status"], line["reason"]) for line in lines]
        damaged, missing = "the page is damaged or missing in the PDF", f"{tmp_path / 'missing.png'}: no such file"
        assert ends == [
            *(("red.png", 1, "ok", None), ("green.png", 1, "ok", None)),
            *(("a.pdf", 1, "ok", None), ("a.pdf", 2, "failed", damaged), ("missing.png", None, "failed", missing)),
        ]
        assert [(line["tokens"], line["attempts"], line["mode"]) for line in lines[:4]] == [
            *[(5, 1, "tiny")] * 3,
            (0, 0, "tiny"),
        ]
        assert result.exit_code == 2
        assert result.stderr.endswith(f"dsocr: how every page ended: {tmp_path / 'out' / 'manifest.jsonl'}\n")

    def test_a_manifest_can_lie_anywhere_and_without_a_folder_there_is_none(self, read, scans, tmp_path, dictate):
        dictate("words")
        read(scans[0], "--manifest", tmp_path / "m/of pages.jsonl")
        assert json.loads((tmp_path / "m/of pages.jsonl").read_text())["status"] == "ok"
        read(scans[0])
        assert not list(tmp_path.rglob("manifest.jsonl"))

    def test_a_file_that_is_no_manifest_is_not_written_into_and_no_model_is_loaded(self, scans, monkeypatch):
        monkeypatch.setattr("dsocr.ocr.load", lambda *_, **__: pytest.fail("too late"))
        before = scans[0].read_bytes()
        result = dsocr_says("read", scans[0], "--model", "some/model", "--manifest", scans[0])
        assert (result.exit_code, "is no manifest" in result.stderr) == (2, True)
        assert scans[0].read_bytes() == before

    def test_a_second_run_reads_nothing_and_writes_the_same(self, read, scans, tmp_path, dictate):
        dictate("one", "two")
        assert read(*scans, "-o", tmp_path / "out").exit_code == 0
        dictate(AssertionError("read again"))
        result = read(*reversed(scans), "-o", tmp_path / "again")
        assert (result.exit_code, mistakes(result)) == (0, [])
        for name in ("red.md", "green.md"):
            assert (tmp_path / "out" / name).read_text() == (tmp_path / "again" / name).read_text()
        assert [line["cached"] for line in manifest(tmp_path / "again")] == [True, True]
        assert "2 ok; 2 known from before" in result.stderr

    def test_where_every_page_is_known_no_network_is_loaded(self, read, scans, tmp_path, monkeypatch):
        read(*scans, "-o", tmp_path / "out", "--max-tokens", 2)
        monkeypatch.setattr("dsocr.ocr.load_network", lambda *_, **__: pytest.fail("loaded"))
        result = read(*scans, "-o", tmp_path / "again", "--max-tokens", 2)
        assert (result.exit_code, "2 truncated; 2 known from before" in result.stderr) == (10, True)
        assert (tmp_path / "out/red.md").read_text() == (tmp_path / "again/red.md").read_text()

    def test_a_network_that_cannot_be_loaded_is_one_mistake_and_every_input_is_told(
        self, read, scans, tmp_path, monkeypatch
    ):
        def fail(*_, **__):
            raise InputError("the weights are not whole")

        monkeypatch.setattr("dsocr.ocr.load_network", fail)
        result = read(*scans, "-o", tmp_path / "out")
        assert (result.exit_code, mistakes(result)) == (2, ["dsocr: error: the weights are not whole"])
        lines = [(line["status"], line["reason"]) for line in manifest(tmp_path / "out")]
        assert lines == [("skipped", "the weights are not whole")] * 2

    def test_without_the_cache_everything_is_read_again(self, read, scans, tmp_path, dictate):
        for text in ("old", "new"):
            dictate(text)
            read(scans[0], "-o", tmp_path, "--no-cache")
            assert (tmp_path / "red.md").read_text() == f"{text}\n"

    def test_what_is_printed_is_kept_only_where_somebody_asks_for_it(self, read, scans, tmp_path, dictate):
        for text, shown in (("one", "one"), ("two", "two"), ("three", "two")):
            dictate(text)
            options = ["--cache", tmp_path / "cache"] if text != "one" else []
            assert read(scans[0], *options).stdout == f"{shown}\n"

    def test_documents_whose_answers_are_there_are_left_out(self, read, scans, tmp_path, dictate):
        dictate("old")
        read(scans[0], "-o", tmp_path / "out", "--no-cache")
        dictate("new")
        result = read(*scans, "-o", tmp_path / "out", "--no-cache", "--skip-existing")
        assert result.exit_code == 0
        assert [(tmp_path / "out" / name).read_text() for name in ("red.md", "green.md")] == ["old\n", "new\n"]
        last = manifest(tmp_path / "out")[1:]
        assert [(Path(line["input"]).name, line["page"], line["status"]) for line in last] == [
            *(("red.png", None, "skipped"), ("green.png", 1, "ok"))
        ]
        assert "dsocr: 1 input skipped\n" in result.stderr
        read(*scans, "-o", tmp_path / "out", "--no-cache", "--skip-existing", "--format", "md,txt")
        assert (tmp_path / "out/red.md").read_text() == "new\n"

    def test_a_file_that_has_changed_is_not_left_out(self, read, scans, tmp_path, dictate):
        again = (scans[0], "-o", tmp_path / "out", "--no-cache", "--skip-existing")
        dictate("old")
        read(*again)
        dictate(AssertionError("read again"))
        assert "1 input skipped" in read(*again).stderr
        scans[0].write_bytes(picture("blue", size=(90, 70)))
        dictate("new")
        assert read(*again).exit_code == 0
        assert (tmp_path / "out" / "red.md").read_text() == "new\n"

    def test_a_document_that_was_interrupted_is_not_left_out(self, read, tmp_path, dictate):
        (tmp_path / "two.tif").write_bytes(pages("red", "green"))
        again = ("-o", tmp_path / "out", "--no-cache", "--skip-existing")
        dictate("one", KeyboardInterrupt())
        assert read(tmp_path / "two.tif", *again).exit_code == 130
        dictate("one", "two")
        assert read(tmp_path / "two.tif", *again).exit_code == 0
        assert (tmp_path / "out/two.md").read_text() == "one\n\n<--- Page Split --->\n\ntwo\n"
        dictate(AssertionError("read again"))
        assert read(tmp_path / "two.tif", *again).exit_code == 0

    def test_no_answer_takes_the_place_of_an_input(self, read, tmp_path, make_pdf, dictate):
        (tmp_path / "a.pdf").write_bytes(make_pdf([""]))
        (tmp_path / "a_text.pdf").write_bytes(precious := make_pdf(["precious"]))
        (tmp_path / "b.png").write_bytes(picture())
        (tmp_path / "b_layout_7.jpg").write_bytes(photo := picture(format="JPEG"))
        dictate("words")
        assert read(tmp_path, "-o", tmp_path, "--format", "pdf,picture").exit_code == 0
        assert (tmp_path / "a_text.pdf").read_bytes() == precious
        assert (tmp_path / "b_layout_7.jpg").read_bytes() == photo
        assert {"a.pdf_text.pdf", "a_text_text.pdf", "b.png_text.pdf"} <= {path.name for path in tmp_path.iterdir()}

    def test_an_input_that_is_a_link_is_not_replaced_either(self, read, tmp_path, make_pdf, dictate):
        (tmp_path / "in").mkdir()
        (tmp_path / "real.pdf").write_bytes(make_pdf(["x"]))
        (tmp_path / "in/a.png").write_bytes(picture())
        (tmp_path / "in/a_text.pdf").symlink_to(tmp_path / "real.pdf")
        dictate("words")
        read(tmp_path / "in", "-o", tmp_path / "in", "--format", "pdf")
        assert (tmp_path / "in/a_text.pdf").is_symlink()

    def test_the_same_command_does_not_read_its_own_answers(self, read, page, tmp_path, dictate):
        dictate(FIGURE)
        said = []
        for _ in range(3):
            again = read(tmp_path, "-r", "-o", tmp_path / "out", "--format", "md,picture,pdf,official", "--no-cache")
            said.append({path.relative_to(tmp_path) for path in tmp_path.rglob("*")})
            assert [Path(line["input"]).name for line in manifest(tmp_path / "out")] == ["page.png"] * len(said)
        assert said[0] == said[1] == said[2]
        assert again.exit_code == 0

    def test_what_is_left_out_of_a_folder_is_told_at_once_and_at_the_end(self, read, page, tmp_path, dictate):
        (tmp_path / "letter.docx").write_bytes(b"x")
        (tmp_path / "scan").write_bytes(picture())
        (tmp_path / "below").mkdir()
        (tmp_path / "box.zip").write_bytes(zipped(("a.png", picture())))
        dictate("words")
        told = "dsocr: left out: 2 files (.docx 1, no ending 1), 1 folder inside (-r reads them)"
        said = read(tmp_path, "-o", tmp_path).stderr.splitlines()
        assert (said[0], said.count(told)) == (told, 2)
        assert (tmp_path / "box.zip-2/a.md").read_text() == (tmp_path / "page.md").read_text() == "words\n"
        again = read(tmp_path, "-o", tmp_path, "--dry-run")
        assert "left out: 2 files (.docx 1, no ending 1)" in again.stderr

    def test_an_answer_counts_only_for_the_very_file_and_pages_it_is_of(self, read, tmp_path, make_pdf, dictate):
        again = ("-o", tmp_path / "out", "--no-cache", "--skip-existing")
        (tmp_path / "in").mkdir()
        (tmp_path / "in/scan.pdf").write_bytes(make_pdf(["x"]))
        dictate("pdf")
        read(tmp_path / "in", *again)
        (tmp_path / "in/scan.jpg").write_bytes(picture(format="JPEG"))
        dictate("jpg")
        assert "1 input skipped" in read(tmp_path / "in", *again).stderr
        found = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.md")}
        assert found == {"scan.md": "pdf\n", "scan.jpg.md": "jpg\n"}
        assert "2 inputs skipped" in read(tmp_path / "in", *again).stderr
        (tmp_path / "two.tif").write_bytes(pages("red", "green"))
        dictate("one")
        read(tmp_path / "two.tif", *again, "--pages", "1")
        dictate("one", "two")
        read(tmp_path / "two.tif", *again)
        assert (tmp_path / "out/two.md").read_text().endswith("two\n")

    def test_two_files_of_one_name_in_two_runs_do_not_overwrite_each_other(self, read, tmp_path, dictate):
        for folder in "xy":
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "s.png").write_bytes(picture())
            dictate(folder)
            read(tmp_path / folder / "s.png", "-o", tmp_path / "out", "--no-cache")
        found = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.md")}
        assert found == {"s.md": "x\n", "s.png.md": "y\n"}

    def test_a_document_without_a_table_is_not_read_for_its_tables_every_time(self, read, page, tmp_path, dictate):
        asked = (page, "-o", tmp_path / "out", "--format", "md,csv,svg", "--no-cache", "--skip-existing")
        dictate("no table")
        read(*asked)
        dictate(AssertionError("read again"))
        assert "1 input skipped" in read(*asked).stderr
        (tmp_path / "out/page.md").unlink()
        dictate("anew")
        read(*asked)
        assert (tmp_path / "out/page.md").read_text() == "anew\n"

    def test_standard_input_is_another_one_each_time(self, read, tmp_path, dictate):
        for text in ("one", "two"):
            dictate(text)
            read("-", "-o", tmp_path, "--no-cache", "--skip-existing", stdin=picture())
            assert (tmp_path / "stdin.md").read_text() == f"{text}\n"

    def test_answers_lie_as_the_documents_do(self, read, tmp_path, dictate):
        for folder, colour in (("", "red"), ("one", "green"), ("one/two", "blue")):
            (tmp_path / "scans" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "scans" / folder / "page.png").write_bytes(picture(colour))
        dictate(FIGURE)
        read(tmp_path / "scans", "--recursive", "-o", tmp_path / "out", "--format", "md,picture")
        found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
        files = ("page.md", "page_layout_1.jpg", "images/page/1_0.jpg")
        assert found == {
            *(RECORD, "manifest.jsonl"),
            *(f"{folder}{file}" for folder in ("", "one/", "one/two/") for file in files),
        }
        assert "(images/page/1_0.jpg)" in (tmp_path / "out/one/two/page.md").read_text()
        dictate(AssertionError("read again"))
        again = read(tmp_path / "scans", "-r", "-o", tmp_path / "out", "--format", "md,picture", "--skip-existing")
        assert "dsocr: 3 inputs skipped\n" in again.stderr

    def test_how_markdown_is_written_can_be_chosen(self, read, tmp_path, dictate):
        (tmp_path / "two.tif").write_bytes(pages("red", "green"))
        text = "<|ref|>header<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\nHEAD\n\n<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n"
        dictate(text + "\\(x\\)")
        plain = read(tmp_path / "two.tif", "--no-page-marks", "--maths", "dollar", "--no-headers").stdout
        assert plain.split() == ["$x$", "$x$"]
        assert read(tmp_path / "two.tif").stdout.count("HEAD") == 2
        for wrong in ("--tables=xml", "--maths=words"):
            result = read(tmp_path / "two.tif", wrong)
            assert (result.exit_code, len(mistakes(result))) == (2, 1)

    def test_a_dry_run_tells_and_does_nothing(self, scans, tmp_path, make_pdf, monkeypatch):
        monkeypatch.setattr("dsocr.ocr.load", lambda *_, **__: pytest.fail("a model is loaded"))
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x"] * 12, size=(595, 842)))
        asked = [tmp_path / "a.pdf", scans[0], tmp_path / "missing.png", "-", "--mode", "base", "-o", tmp_path / "out"]
        result = dsocr_says("read", *asked, "--dry-run")
        assert result.stdout.splitlines() == [
            f"{tmp_path / 'a.pdf'}: 12 pages, 2,160 vision tokens",
            f"{scans[0]}: 1 page, 192 vision tokens",
            "stdin: its pages cannot be counted beforehand",
            "2 files, 13 pages, 2,352 vision tokens; not counted: 1 input",
            "how long it may take is not known: nothing has been read here with this model and mode yet",
        ]
        assert (result.exit_code, mistakes(result)) == (2, [f"dsocr: error: {tmp_path / 'missing.png'}: no such file"])
        assert not (tmp_path / "out").exists()

    def test_a_dry_run_estimates_by_what_runs_before_took(self, read, scans, tmp_path):
        read(scans[0], "-o", tmp_path / "out", "--max-tokens", 2)
        result = read(*scans, "-o", tmp_path / "out", "--dry-run", "--skip-existing")
        assert result.stdout.splitlines()[0] == f"{scans[0]}: skipped, its answers are there already"
        assert result.stdout.splitlines()[-1].startswith("about ")
        assert result.stdout.endswith(" s a page, as over 1 page read here before\n")
        assert "not known" in read(*scans, "--dry-run", "--mode", "base").stdout

    def test_skipping_needs_a_folder(self, read, page):
        result = read(page, "--skip-existing")
        assert (result.exit_code, "add -o DIR" in result.stderr) == (2, True)

    def test_quiet_has_no_summary(self, read, scans, tmp_path, dictate):
        dictate("words")
        assert read(*scans, "-o", tmp_path / "out", "-q").stderr == ""

    @pytest.mark.parametrize(
        ("variables", "folder"),
        [
            ({"DSOCR_CACHE": "~/mine"}, "home/mine"),
            ({"XDG_CACHE_HOME": "/x"}, "/x/dsocr"),
            ({}, "home/.cache/dsocr"),
        ],
    )
    def test_read_pages_are_kept_where_this_system_keeps_such_things(self, variables, folder, tmp_path, monkeypatch):
        for name in ("DSOCR_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (variables | {"HOME": str(tmp_path / "home")}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "platform", "linux")
        assert read_command._cache_folder() == tmp_path / folder


class TestProcess:
    """The real thing, where this process would not do."""

    def start(self, checkpoint: Path, *arguments, **options) -> subprocess.CompletedProcess:
        words = ["read", "--model", checkpoint, "--mode", "tiny", "--max-tokens", "4", *arguments]
        command = [sys.executable, "-m", "dsocr", *map(str, words)]
        return subprocess.run(command, stderr=subprocess.PIPE, timeout=120, **options)

    def test_a_piped_page_comes_out_as_markdown_alone(self, checkpoint):
        done = self.start(checkpoint, "-", "--format", "json", input=picture(), stdout=subprocess.PIPE)
        assert json.loads(done.stdout)["pages"][0]["status"] in ("ok", "truncated")
        assert done.returncode in (0, 10)
        assert done.stderr.startswith(b"dsocr: stdin page 1: ")
        assert done.stderr.count(b"\n") == 1

    @pytest.mark.skipif(os.name != "posix", reason="signals")
    @pytest.mark.parametrize("sent", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=str)
    def test_ctrl_c_and_a_polite_kill_end_cleanly_and_the_next_run_goes_on(self, checkpoint, tmp_path, sent):
        """They go to all processes, as from a terminal or from what manages services."""
        (tmp_path / "many.tif").write_bytes(pages(*(f"rgb({shade}, 0, 0)" for shade in range(0, 240, 6))))
        words = ["read", "--model", checkpoint, "--mode", "tiny", "--max-tokens", 60, tmp_path / "many.tif"]
        words = [str(word) for word in (*words, "-o", tmp_path / "out")]
        command, own = [sys.executable, "-m", "dsocr", *words], {"stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, start_new_session=True, **own) as running:
            for line in running.stderr:
                if "page 2: " in line:
                    break
            for number in sent:
                os.killpg(running.pid, number)
                time.sleep(0.02)
            said = running.stderr.read()
        assert (running.returncode, said.splitlines()[-1]) == (130, "dsocr: interrupted")
        assert "Traceback" not in said
        first = manifest(tmp_path / "out")
        assert [line["page"] for line in first] == list(range(1, 41))
        read_so_far = [line["page"] for line in first if line["status"] != "skipped"]
        dsocr_says(*words)
        second = manifest(tmp_path / "out")[40:]
        assert [line["page"] for line in second] == list(range(1, 41))
        assert {line["page"] for line in second if line["cached"]} >= set(read_so_far)
        assert not (tmp_path / "out/.many.unfinished").exists()

    def test_a_reader_who_has_gone_ends_it_without_a_word_and_not_as_done(self, checkpoint, page):
        reader, writer = os.pipe()
        os.close(reader)
        done = self.start(checkpoint, page, page, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")


class TestHelp:
    def test_the_version_is_one_line(self):
        result = dsocr_says("--version")
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"dsocr {dsocr.__version__}\n", "")

    def test_no_command_shows_the_commands(self):
        result = dsocr_says()
        assert "read" in result.output
        assert "pull" in result.output

    def test_the_help_fits_80_columns_and_names_every_mode_prompt_and_default(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        text = dsocr_says("read", "--help").stdout
        assert max(map(len, text.splitlines())) <= 80
        words = " ".join(text.split())
        assert ", ".join(dsocr.MODES) in words
        assert f"One or more of {', '.join((*TEXTS, *KINDS))}." in words
        assert ", ".join(name for name in dsocr.PROMPTS if name != "locate") in words
        assert "[default: (stdout)]" in words

    def test_the_defaults_are_those_of_the_rooms_below(self):
        defaults = {name: found.default for name, found in inspect.signature(read_command.read).parameters.items()}
        sampling = dsocr.Sampling()
        assert (defaults["dpi"], defaults["max_pixels"]) == (DEFAULT_DPI, DEFAULT_MAX_PIXELS)
        for name in ("max_tokens", "temperature", "ngram_rule", "ngram_size", "ngram_window"):
            assert getattr(defaults[name], "value", defaults[name]) == getattr(sampling, name)

    def test_pull_prints_the_folder_or_one_line(self, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(tmp_path))
        result = dsocr_says("pull", "some/model")
        assert (result.exit_code, result.stdout, "not a whole checkpoint" in result.stderr) == (2, "", True)
        (tmp_path / "model.safetensors").touch()
        assert dsocr_says("pull", "some/model").stdout == f"{tmp_path}\n"
        result = dsocr_says("pull", "nonsense")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
