"""`dsocr eval` as a person types it: tables on stdout, notes on stderr, a report in a folder, a mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from served import MODEL, Fake
from typer.testing import CliRunner

from dsocr.cli import app
from dsocr.evaluation.drawn.layouts import write_fox, write_olmocr_bench, write_omnidocbench
from dsocr.evaluation.drawn.letters import LETTERS
from dsocr.evaluation.drawn.pages import draw_pages

PAGES = draw_pages(LETTERS, 2)
WRITERS = {"fox": write_fox, "omnidocbench": write_omnidocbench, "olmocr-bench": write_olmocr_bench}
REPORT = {"report.md", "report.json", "report.html"}


def dsocr_says(*arguments):
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result


def mistake(result) -> str:
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("dsocr: error: ")]
    assert (result.exit_code, result.stdout) == (2, "")
    return line


@pytest.fixture(params=list(WRITERS))
def name(request) -> str:
    return request.param


@pytest.fixture
def folder(name, tmp_path):
    WRITERS[name](PAGES, tmp_path / name)
    return tmp_path / name


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.png"
    PAGES[0].image.save(path)
    path.with_suffix(".txt").write_text(PAGES[0].text)
    return path


def test_a_benchmark_is_read_printed_and_written(name, folder, checkpoint, dictate, tmp_path):
    dictate("some text")
    out = tmp_path / "out"
    result = dsocr_says(name, folder, "--model", checkpoint, "--modes", "tiny,small", "-o", out)
    assert result.exit_code == 0
    assert result.stdout == (out / "report.md").read_text()
    assert {path.name for path in out.iterdir()} >= REPORT
    rows = [
        table["rows"]
        for section in json.loads((out / "report.json").read_text())["sections"]
        for table in section["tables"]
        if table["title"] == "By mode"
    ]
    assert [row["mode"] for row in rows[0]] == ["tiny", "small"]


def test_pages_that_were_read_are_not_read_again(name, folder, checkpoint, dictate, tmp_path):
    dictate("some text")
    arguments = (name, folder, "--model", checkpoint, "--modes", "tiny", "-o", tmp_path / "out")
    dsocr_says(*arguments)
    dictate(RuntimeError("nothing is left to read"))
    again = dsocr_says(*arguments)
    assert again.exit_code == 0
    assert "to read" not in again.stderr


def test_what_others_have_read_is_scored_without_reading(name, folder, checkpoint, dictate, tmp_path):
    dictate("some text")
    dsocr_says(name, folder, "--model", checkpoint, "--modes", "tiny", "-o", tmp_path / "first")
    dictate(RuntimeError("nothing is to be read"))
    place = tmp_path / "first" / "predictions" / "tiny"
    result = dsocr_says(name, folder, "--predictions", place, "--model", checkpoint, "-o", tmp_path / "second")
    assert result.exit_code == 0
    assert f"- tiny: {place}" in result.stdout


def test_a_server_reads_a_benchmark(name, folder, tmp_path):
    arguments = (name, folder, "--modes", "gundam", "-o", tmp_path / "out", "--engine")
    with Fake().running() as server:
        result = dsocr_says(*arguments, server.url)
        asked, url = len(server.forms), server.url
        again = dsocr_says(*arguments, server.url)
        assert (asked, len(server.forms)) == (len(PAGES), asked)
    assert (result.exit_code, again.exit_code) == (0, 0)
    assert f"- model: {MODEL}\n" in result.stdout
    assert f"- servers: {url} (vLLM 0.12.0)\n" in result.stdout
    texts = (tmp_path / "out" / "predictions" / "gundam").rglob("*.md")
    assert {path.read_text().strip() for path in texts} == {"some words"}
    with Fake("sglang").running() as other:  # the same model elsewhere: the run goes on
        assert dsocr_says(*arguments, other.url).exit_code == 0
        assert not other.forms
    with Fake(models=("other",)).running() as other:
        assert f"made with model '{MODEL}', not 'other'" in mistake(dsocr_says(*arguments, other.url, "-q"))


def test_servers_are_found_only_where_there_is_something_to_read_if_the_model_is_named(name, folder, tmp_path):
    arguments = (name, folder, "--modes", "gundam", "-o", tmp_path / "out", "--model", MODEL, "--engine")
    with Fake().running() as server:
        assert dsocr_says(*arguments, server.url).exit_code == 0
    again = dsocr_says(*arguments, "http://127.0.0.1:9/v1")
    assert again.exit_code == 0
    assert "- servers:" not in again.stdout


def test_a_mode_that_no_server_has_is_told_before_anything_is_read(name, folder, tmp_path):
    out = ("-o", tmp_path / "out", "-q")
    with Fake().running() as server:
        there = ("--engine", server.url)
        one = mistake(dsocr_says(name, folder, "--modes", "gundam,tiny", *there, *out))
        two = mistake(dsocr_says(name, folder, "--modes", "gundam,tiny", "--model", MODEL, *there, *out))
        curve = ("compression", "--lengths", "30", "--each", 1, "--modes", "gundam,tiny")
        three = mistake(dsocr_says(*curve, *there, *out))
        assert not server.forms
    for line in (one, two, three):
        assert "mode 'tiny' is not available" in line
        assert line.endswith("; give --modes gundam")


def test_a_pace_in_a_mode_that_no_server_has_is_one_line(page):
    with Fake().running() as server:
        line = mistake(dsocr_says("throughput", page, "--mode", "tiny", "--engine", server.url, "-q"))
    assert line.endswith("; give --mode gundam")


def test_a_page_that_loops_is_scored_as_the_mode_read_it(name, folder, tmp_path):
    arguments = (name, folder, "--modes", "gundam", "--limit", 1, "-o", tmp_path / "out", "--engine")
    with Fake(answer=lambda form: ["I am stuck. "] * 400).running() as server:
        result = dsocr_says(*arguments, server.url)
        assert len(server.forms) == 1
        assert result.exit_code == 0
        assert "1 pages looped" in result.stdout
        other = mistake(dsocr_says(*arguments, server.url, "--loops", "rescue", "-q"))
        assert "made with loops 'stop', not 'rescue'" in other


def test_a_page_that_could_not_be_read_is_told_by_the_exit_code_after_the_report(name, folder, tmp_path):
    broken = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".pdf"))
    broken.write_bytes(b"no picture")
    with Fake().running() as server:
        out = ("-o", tmp_path / "out")
        result = dsocr_says(name, folder, "--modes", "gundam", *out, "--engine", server.url)
    assert result.exit_code == 10
    assert "1 pages failed" in (tmp_path / "out" / "report.md").read_text()


def test_servers_have_nothing_to_read_where_all_is_read_or_others_read(page, folder, name, tmp_path):
    engine = ("--engine", "http://127.0.0.1:9/v1")
    theirs = dsocr_says(name, folder, "--predictions", tmp_path, *engine)
    alone = dsocr_says("compare", page, "--alone", "--contestant", "x=cat {file}", *engine)
    assert "leave out --predictions, or --engine" in mistake(theirs)
    assert "leave out --alone, or --engine" in mistake(alone)


def test_the_same_mode_twice_is_one_line(name, folder):
    assert "mode 'tiny' is given twice" in mistake(dsocr_says(name, folder, "--modes", "tiny, tiny"))


def test_text_is_counted_by_the_tokenizer_that_is_asked_for(checkpoint, tmp_path):
    write_fox(PAGES, tmp_path)
    (tmp_path / "own").mkdir()
    for page in PAGES:
        (tmp_path / "own" / f"{page.name}.md").write_text(page.text)
    arguments = ("fox", tmp_path, "--predictions", tmp_path / "own", "-o", tmp_path / "out", "--model", "nano")
    assert f"by the tokenizer of {checkpoint};" in dsocr_says(*arguments, "--tokenizer", checkpoint).stdout
    assert "by the tokenizer of nano;" in dsocr_says(*arguments).stdout
    assert "no-such-folder" in mistake(dsocr_says(*arguments, "--tokenizer", "./no-such-folder"))


def test_a_server_has_no_device_here(name, folder):
    told = mistake(dsocr_says(name, folder, "--engine", "http://127.0.0.1:9", "--device", "cpu"))
    assert "--device, --dtype and --memory are the server's own" in told


def test_a_servers_curve_pace_and_place_among_others(page, tmp_path):
    with Fake().running() as server:
        there = ("--engine", server.url, "-o", tmp_path / "out")
        curve = dsocr_says("compression", "--lengths", "30", "--each", 1, "--modes", "gundam", *there)
        pace = dsocr_says("throughput", page, "--seconds", 0, *there)
        contest = dsocr_says("compare", page, *there)
    assert [said.exit_code for said in (curve, pace, contest)] == [0, 0, 0]
    for said in (curve, pace, contest):
        assert f"- servers: {server.url} (vLLM 0.12.0)\n" in said.stdout
    assert "- read at once: 16 by each server\n" in pace.stdout
    assert f"{MODEL}, gundam, prompt document" in contest.stdout
    assert "checkpoint" not in contest.stdout


def test_nano_reads_a_benchmark(name, folder, tmp_path):
    arguments = ("--modes", "tiny", "--limit", 1, "--max-tokens", 12, "-o", tmp_path / "out")
    result = dsocr_says(name, folder, "--model", "nano", *arguments)
    assert result.exit_code == 0
    assert "- pages: 1\n" in result.stdout
    assert "- tiny: 1 pages truncated\n" in result.stdout


def test_a_wrong_folder_is_one_line(name, tmp_path):
    assert str(tmp_path) in mistake(dsocr_says(name, tmp_path, "--model", "nano"))


def test_missing_pictures_are_named(name, folder, tmp_path):
    lost = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".pdf"))
    lost.unlink()
    assert f"{lost} is missing: the benchmark asks about 2 pages" in mistake(
        dsocr_says(name, folder, "--model", "nano", "-o", tmp_path / "out")
    )


def test_an_unknown_mode_is_one_line(name, folder):
    line = mistake(dsocr_says(name, folder, "--model", "nano", "--modes", "tiny,huge"))
    assert "mode 'huge' is unknown; known: tiny, small" in line


def test_a_folder_without_predictions_names_those_that_are_expected(name, folder, tmp_path):
    (tmp_path / "none").mkdir()
    line = mistake(dsocr_says(name, folder, "--predictions", tmp_path / "none", "--model", "nano"))
    assert "has none of the 2 predictions that are expected" in line
    assert ".md" in line


def test_the_compression_curve_is_drawn_from_real_readings(checkpoint, tmp_path):
    arguments = ("--lengths", "30,60", "--each", 1, "--modes", "tiny", "--max-tokens", 8, "-o", tmp_path)
    result = dsocr_says("compression", "--model", checkpoint, *arguments)
    assert result.exit_code == 0
    assert "**Fox, as published**" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {*REPORT, "plot-1.svg", "plot-2.svg", "plot-3.svg"}


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--lengths", "50,x", "lengths '50,x' is no list of numbers"),
        ("--size", "640", "size '640' is no size in pixels such as 640x640"),
        ("--size", "10x10", "at least 64"),
        ("--size", "9000x9000", "the most is 8192"),
        ("--modes", "huge", "mode 'huge' is unknown"),
        ("--prompt", "", "the prompt is empty"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_one_line(option, value, told):
    assert told in mistake(dsocr_says("compression", "--model", "nano", option, value))


def test_prose_that_is_no_text_is_one_line(page):
    assert "is no text in UTF-8" in mistake(dsocr_says("compression", "--model", "nano", "--text", page))


def test_the_pace_is_told_with_what_was_read(page, checkpoint, dictate, tmp_path):
    dictate("some text")
    arguments = ("--model", checkpoint, "--mode", "tiny", "--seconds", 0, "-o", tmp_path / "out")
    result = dsocr_says("throughput", page, *arguments)
    assert result.exit_code == 0
    assert "| pages a day" in result.stdout
    assert "- pages: 1, read 1 × (1 ok)" in result.stdout


def test_a_file_that_is_not_there_has_no_pace(checkpoint, tmp_path):
    line = mistake(dsocr_says("throughput", tmp_path / "none.png", "--model", checkpoint, "-q"))
    assert "none of these files has a page that can be read" in line


def test_contestants_stand_beside_dsocr(page, checkpoint, dictate, tmp_path):
    dictate("some text")
    copy = tmp_path / "copy.py"
    copy.write_text("import pathlib, sys; print(pathlib.Path(sys.argv[1]).with_suffix('.txt').read_text())")
    contestant = f"cheat='{sys.executable}' '{copy}' {{file}}"
    result = dsocr_says(
        "compare", page, "--contestant", contestant, "--model", checkpoint, "--mode", "tiny", "-o", tmp_path / "out"
    )
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert any(line.startswith("| dsocr ") for line in lines)
    assert "100.0%" in next(line for line in lines if line.startswith("| cheat "))


@pytest.mark.parametrize(
    ("contestant", "told"),
    [
        ("x=no-such-program {file}", "there is no program 'no-such-program' here"),
        ("tesseract", "is no 'name=command {file}'"),
    ],
)
def test_a_contestant_that_cannot_run_is_one_line(page, contestant, told):
    assert told in mistake(dsocr_says("compare", page, "--contestant", contestant, "--model", "nano"))


def test_nobody_alone_is_one_line(page):
    assert "give a --contestant" in mistake(dsocr_says("compare", page, "--alone"))


def test_a_file_to_compare_that_is_not_there_is_one_line(tmp_path):
    assert "none.png: no such file" in mistake(dsocr_says("compare", tmp_path / "none.png", "--model", "nano"))


def test_help_comes_without_the_network():
    code = "import sys; from dsocr.cli import app; sys.argv = ['dsocr', 'eval', 'fox', '--help']\ntry: app()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.splitlines()[-1] == "False"
