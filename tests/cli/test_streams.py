"""What a command does where nobody reads it, or where its streams lead nowhere: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from dsocr import __main__ as started
from dsocr import cli

on_a_shell = pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
has_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")


@pytest.fixture
def blank(tmp_path):
    """Two pages of nothing, which no model is asked about."""
    path = tmp_path / "blank.tiff"
    page = Image.new("RGB", (64, 64), "white")
    page.save(path, save_all=True, append_images=[page])
    return path


def run(line, cwd, **more):
    """A line for the shell, in which dsocr is a function."""
    env = os.environ | {"python": sys.executable, "DSOCR_CACHE": str(cwd / "cache")} | more
    line = f'dsocr() {{ "$python" -m dsocr "$@"; }}; {line}'
    return subprocess.run(["sh", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def pages_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@on_a_shell
@pytest.mark.parametrize("notes", ["2>&-", pytest.param("2>/dev/full", marks=has_full_device)])
def test_without_notes_the_answers_come_all_the_same(blank, tmp_path, notes):
    done = run(f"dsocr read blank.tiff -o out {notes}", tmp_path)
    assert done.returncode == 0
    assert [page["status"] for page in pages_of(tmp_path / "out")] == ["blank", "blank"]


@on_a_shell
def test_notes_that_nobody_reads_any_more_end_no_run(blank, tmp_path):
    done = run("{ dsocr read blank.tiff missing.png -o out 2>&1; echo $? > code; } | true", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "code").read_text() == "2\n"
    assert [page["status"] for page in pages_of(tmp_path / "out") if page.get("page")] == ["blank", "blank"]


@on_a_shell
def test_where_stderr_is_closed_no_note_is_in_the_answer(blank, tmp_path):
    done = run("dsocr read blank.tiff --format json 2>&-", tmp_path)
    assert done.returncode == 0
    assert [page["status"] for page in json.loads(done.stdout)["pages"]] == ["blank", "blank"]


@on_a_shell
def test_answers_that_nobody_reads_end_the_run_and_no_one_takes_it_for_done(blank, tmp_path):
    done = run("{ dsocr read blank.tiff --format json; echo $? > code; } | true", tmp_path)
    assert done.stderr.count("error") == 0
    assert (tmp_path / "code").read_text() == "141\n"


@on_a_shell
@pytest.mark.parametrize("line", ["dsocr read blank.tiff --format json >&-", "dsocr read blank.tiff --dry-run >&-"])
def test_a_closed_stdout_is_one_line_and_a_code(blank, tmp_path, line):
    done = run(line, tmp_path)
    assert done.returncode == 5
    assert [told for told in done.stderr.splitlines() if "error" in told] == [
        "dsocr: error: stdout: cannot be written (Bad file descriptor)"
    ]
    assert "Traceback" not in done.stderr


@on_a_shell
@has_full_device
def test_a_report_is_written_before_it_is_told(blank, tmp_path):
    line = "dsocr eval compare blank.tiff --alone --contestant 'echo=echo {file}' -o report >/dev/full"
    done = run(line, tmp_path)
    assert done.returncode == 5
    assert "No space left on device" in done.stderr
    assert list((tmp_path / "report").iterdir())


@on_a_shell
@has_full_device
@pytest.mark.parametrize(("asked", "told"), [("--help", "cannot go on"), ("--version", "stdout: cannot be written")])
def test_help_that_cannot_be_told_is_one_line(tmp_path, asked, told):
    done = run(f"dsocr {asked} >/dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (5, f"dsocr: error: {told} (No space left on device)\n")


@on_a_shell
def test_a_closed_stream_is_closed_to_no_child_of_ours(tmp_path):
    code = "from dsocr.__main__ import open_streams; import os; open_streams(); os.system('test -e /dev/fd/2; echo $?')"
    assert run(f'"$python" -c "{code}" 2>&-', tmp_path).stdout == "0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has GNU's OpenMP there")
@pytest.mark.parametrize(
    ("asked", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")]
)
def test_threads_that_wait_sleep_soon_unless_they_were_told_how_to_wait(tmp_path, asked, spins):
    code = "from dsocr.__main__ import wait_asleep; wait_asleep(); import torch"
    done = run(f'"$python" -c "{code}"', tmp_path, OMP_DISPLAY_ENV="verbose", **asked)
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ["read", "blank.tiff", "-o", ""],
        ["read", "blank.tiff", "--cache", ""],
        ["read", "blank.tiff", "--manifest", ""],
        ["train", "-o", "", "--pairs", "pairs"],
        ["eval", "compare", "blank.tiff", "-o", ""],
    ],
)
def test_an_empty_name_is_no_place_for_anything(line):
    result = CliRunner().invoke(cli.app, line)
    assert result.exit_code == 2
    assert "the name is empty" in result.stderr


@on_a_shell
def test_an_empty_key_opens_no_server(tmp_path):
    done = run("dsocr serve --port 1", tmp_path, DSOCR_API_KEY="")
    assert done.returncode == 2
    assert done.stderr == "dsocr: error: DSOCR_API_KEY is empty; unset it where no key is to be asked for\n"


def test_who_interrupts_before_a_command_has_begun_is_told_so(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("dsocr.cli.app", interrupted)
    monkeypatch.setattr(started, "open_streams", lambda: None)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    with pytest.raises(SystemExit) as left:
        started.main()
    assert left.value.code == 130
    assert capsys.readouterr().err == "dsocr: interrupted\n"
