"""Any program can read beside dsocr; none can hurt the others, run a shell, or go on for ever."""

from __future__ import annotations

import os
import sys
import time

import pytest
from drawn_pages import inked

from dsocr.errors import InputError
from dsocr.evaluation.compare import (
    Contestant,
    Failure,
    compare,
    own_contestant,
    parse_contestant,
    report,
    run_command,
)
from dsocr.evaluation.report.table import to_rows
from dsocr.ocr import Options, load

ECHO = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", "{file}"]


def quiet(_: str) -> None:
    pass


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code, "{file}"]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.png"
    inked().save(path)
    path.with_suffix(".txt").write_text("What stands\non the page")
    return path


def test_a_command_says_what_a_file_says(tmp_path):
    file = tmp_path / "a file.txt"
    file.write_text("its text")
    assert run_command(ECHO, 30, file).strip() == "its text"


def test_a_file_name_is_never_a_command(tmp_path):
    file = tmp_path / "$(touch hurt); touch hurt.txt"
    file.write_text("text")
    assert run_command(ECHO, 30, file).strip() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]


@pytest.fixture
def pipe(tmp_path):
    """A named pipe: where it is, and the end that is read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def nobody_writes(reader: int) -> bool:
    """Whether all who hold the other end of a pipe are gone, or go within some seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if not os.read(reader, 1):
                return True
        except BlockingIOError:
            time.sleep(0.02)
    return False


def test_a_program_that_takes_too_long_is_ended_with_all_it_has_started(pipe, tmp_path):
    path, reader = pipe
    began = time.monotonic()
    with pytest.raises(Failure, match=r"not done after 0\.5 s"):
        run_command(["sh", "-c", f"exec 3>{path}; sleep 60; true", "{file}"], 0.5, tmp_path)
    assert nobody_writes(reader)
    assert time.monotonic() - began < 30


def test_a_child_that_holds_on_to_the_output_is_not_waited_for_and_ended(pipe, tmp_path):
    path, reader = pipe
    command = ["sh", "-c", f"exec 3>{path}; sleep 60 & echo hi", "{file}"]
    assert run_command(command, 30, tmp_path) == "hi\n"
    assert nobody_writes(reader)


def test_a_program_that_ends_badly_tells_its_last_words(tmp_path):
    with pytest.raises(Failure, match="exit code 3: out of ink"):
        run_command(python("import sys; print('out of ink', file=sys.stderr); sys.exit(3)"), 30, tmp_path)


@pytest.mark.parametrize("text", ["tesseract", "=cat {file}", "cat=cat", ""])
def test_a_contestant_without_name_or_file_is_refused(text):
    with pytest.raises(InputError, match=r"is no 'name=command \{file\}'"):
        parse_contestant(text, 1)


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(InputError, match="there is no program 'no-such-program' here"):
        parse_contestant("x=no-such-program {file}", 1)


def test_a_command_that_cannot_be_taken_apart_is_refused():
    with pytest.raises(InputError, match="cannot be taken apart"):
        parse_contestant("x=cat '{file}", 1)


def test_two_contestants_of_one_name_are_refused(page):
    one = Contestant("x", "", lambda file: "")
    with pytest.raises(InputError, match="two contestants are called 'x'"):
        compare([one, one], [page], quiet)


def test_who_reads_everything_scores_everything_and_line_breaks_do_not_matter(page):
    (measured,) = compare([Contestant("x", "", lambda file: "What stands on the  page\n")], [page], quiet)
    assert (measured.accuracy, measured.precision, measured.recall) == (1.0, 1.0, 1.0)


def test_who_fails_scores_nothing_and_the_others_go_on(page):
    def fail(file):
        raise Failure("broken")

    good = Contestant("good", "", lambda file: "What stands on the page")
    measured = compare([Contestant("bad", "", fail), good], [page], quiet)
    assert [(each.accuracy, each.failure) for each in measured] == [(0.0, "broken"), (1.0, None)]


def test_without_a_truth_there_is_only_time(page):
    page.with_suffix(".txt").unlink()
    (measured,) = compare([Contestant("x", "", lambda file: "text")], [page], quiet)
    assert measured.accuracy is None
    assert measured.seconds >= 0


def test_dsocr_reads_beside_the_others(page, checkpoint, dictate):
    dictate("# What stands\non the page")
    own = own_contestant(load(checkpoint), Options("tiny", "free"), "micro")
    (measured,) = compare([own], [page], quiet)
    assert measured.recall == 1.0


def test_a_file_that_dsocr_cannot_open_is_a_failure(checkpoint, tmp_path):
    own = own_contestant(load(checkpoint), Options("tiny", "free"), "micro")
    with pytest.raises(Failure, match="no such file"):
        own.read(tmp_path / "none.png")


@pytest.mark.parametrize(("ending", "status"), [("length", "truncated"), ("loop", "looped")])
def test_a_page_that_dsocr_does_not_read_to_its_end_is_a_failure(ending, status, page, checkpoint, dictate):
    dictate("What stands\non the page", finish_reason=ending)
    own = own_contestant(load(checkpoint), Options("tiny", "free", loops="stop"), "micro")
    (measured,) = compare([own], [page], quiet)
    assert measured.accuracy == 0.0
    assert measured.failure.startswith(f"page 1 {status}")


def test_a_file_with_a_page_that_dsocr_cannot_read_is_a_failure(checkpoint, dictate, make_pdf, tmp_path):
    file = tmp_path / "two.pdf"
    file.write_bytes(make_pdf(["one", None]))
    dictate("one")
    own = own_contestant(load(checkpoint), Options("tiny", "free"), "micro")
    with pytest.raises(Failure, match="page 2 failed: "):
        own.read(file)


def test_the_note_tells_only_what_is_true_of_those_who_read(page, checkpoint):
    own = own_contestant(load(checkpoint), Options("tiny", "free"), "micro")
    command = parse_contestant(f"x={sys.executable} {{file}}", 1)
    notes = [report([], who, ()).sections[0].tables[0].note for who in ([own], [command])]
    assert ["loaded its checkpoint" in note for note in notes] == [True, False]
    assert ["a new process for each file" in note for note in notes] == [False, True]


def test_the_report_has_all_contestants_and_all_files(page):
    names = [Contestant(name, "", lambda file: "What stands") for name in ("a", "b")]
    found = report(compare(names, [page], quiet), names, ())
    assert [row["contestant"] for row in to_rows(found.sections[0].tables[0])] == ["a", "b"]
    assert len(found.sections[1].tables[0].rows) == 2
