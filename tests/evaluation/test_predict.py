"""Each page is read once, whatever happened to the run before; no page is lost on the way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from drawn_pages import inked

from dsocr.errors import FileAccessError, InputError
from dsocr.evaluation.predict import RECORDS_FILE, WAY_FILE, Wanted, Way, predict, read_records
from dsocr.ocr import Options, load

WAY = Way("micro", "tiny", "free")
OPTIONS = Options("tiny", "free")


def quiet(_: str) -> None:
    pass


def never() -> None:
    raise AssertionError("nothing was left to read")


@pytest.fixture
def pages(tmp_path) -> list[Wanted]:
    found = [Wanted(f"page_{number}", tmp_path / f"{number}.png") for number in range(3)]
    for page in found:
        inked().save(page.file)
    return found


@pytest.fixture
def run(checkpoint, tmp_path):
    def run(pages, open_reader=lambda: load(checkpoint), way=WAY):
        return predict(open_reader, pages, OPTIONS, way, tmp_path / "out", quiet, quiet)

    return run


def text_of(tmp_path, name: str) -> str:
    return (tmp_path / "out" / f"{name}.md").read_text()


def test_what_was_read_lies_under_its_name(run, pages, dictate, tmp_path):
    dictate("one", "two", "three")
    records = run(pages)
    assert [text_of(tmp_path, page.name) for page in pages] == ["one", "two", "three"]
    assert [(record.name, record.status, record.vision_tokens) for record in records] == [
        (page.name, "ok", 64) for page in pages
    ]


def test_pages_that_are_there_are_not_read_again(run, pages, dictate):
    dictate("text")
    assert run(pages) == run(pages, never)


def test_a_killed_run_goes_on_where_it_stood(run, pages, dictate, tmp_path):
    dictate("first", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(pages)
    with (tmp_path / "out" / RECORDS_FILE).open("a") as records:
        records.write('{"name": "half a li')
    dictate("second")
    assert [record.name for record in run(pages)] == [page.name for page in pages]
    assert [text_of(tmp_path, page.name) for page in pages] == ["first", "second", "second"]
    assert run(pages, never)


def test_a_prediction_whose_file_is_gone_is_read_again(run, pages, dictate, tmp_path):
    dictate("first")
    run(pages)
    (tmp_path / "out" / "page_1.md").unlink()
    dictate("second")
    run(pages)
    assert [text_of(tmp_path, page.name) for page in pages] == ["first", "second", "first"]


def test_a_page_that_cannot_be_read_has_an_empty_file_and_is_tried_again(run, pages, dictate, tmp_path):
    dictate("text")
    pages[1].file.write_bytes(b"no picture")
    assert [record.status for record in run(pages)] == ["ok", "failed", "ok"]
    assert text_of(tmp_path, "page_1") == ""
    inked().save(pages[1].file)
    assert [record.status for record in run(pages)] == ["ok", "ok", "ok"]
    assert text_of(tmp_path, "page_1") == "text"


def test_how_a_page_ended_is_not_part_of_its_text(run, pages, dictate, tmp_path):
    dictate("cut", finish_reason="length")
    records = run(pages[:1])
    assert (text_of(tmp_path, "page_0"), records[0].status) == ("cut", "truncated")


def test_pages_of_a_document_go_by_their_numbers(run, make_pdf, dictate, tmp_path):
    file = tmp_path / "two.pdf"
    file.write_bytes(make_pdf(["first page", "second page"]))
    dictate("one", "two")
    records = run([Wanted("deep/two_pg2", file, 2), Wanted("two_pg9", file, 9)])
    assert [record.status for record in records] == ["ok", "failed"]
    assert records[1].reason == "the file has no such page"
    assert text_of(tmp_path, "deep/two_pg2") == "two"


def test_predictions_made_in_another_way_are_refused(run, pages, dictate):
    dictate("text")
    run(pages)
    with pytest.raises(InputError, match="made with prompt 'free', not 'document'; use another folder"):
        run(pages, never, Way("micro", "tiny", "document"))


def test_a_folder_that_does_not_tell_of_loops_was_read_with_rescues(run, pages, dictate, tmp_path):
    dictate("text")
    run(pages)
    told = json.loads((tmp_path / "out" / WAY_FILE).read_text())
    del told["loops"]
    (tmp_path / "out" / WAY_FILE).write_text(json.dumps(told))
    assert run(pages, never)
    with pytest.raises(InputError, match="made with loops 'rescue', not 'stop'"):
        run(pages, never, replace(WAY, loops="stop"))


def test_a_folder_that_does_not_tell_its_way_is_refused(run, pages, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / WAY_FILE).write_text("[]")
    with pytest.raises(InputError, match="does not say how"):
        run(pages, never)


def test_missing_pages_are_named(run, pages):
    pages[0].file.unlink()
    pages[2].file.unlink()
    with pytest.raises(InputError, match=r"0\.png is missing and 1 more: the benchmark asks about 3 pages"):
        run(pages, never)


def test_a_folder_that_cannot_be_used_is_one_clear_line(run, pages, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FileAccessError, match="cannot be used"):
        run(pages, never)


def test_records_that_are_none_are_passed_over(tmp_path):
    good = {"name": "a", "status": "ok", "reason": None, "tokens": 3, "vision_tokens": 64}
    (tmp_path / RECORDS_FILE).write_text(f'{json.dumps(good)}\n[]\n{{"name": 1}}\n\n')
    assert [record.name for record in read_records(tmp_path)] == ["a"]


@pytest.mark.parametrize("name", ["../outside", "deep/../../outside", "/outside"])
def test_a_name_that_leads_out_of_the_folder_is_refused(run, pages, name):
    with pytest.raises(InputError, match="would lie outside the folder of predictions"):
        run([Wanted(name, pages[0].file)], never)
