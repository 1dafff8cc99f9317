"""JSON holds everything, for every text."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from written_pages import model_texts, read_golden, transcript_of

from dsocr.document import Document, Transcript, to_json
from dsocr.document.to_json import SCHEMA


def read_back(*pages: Transcript) -> dict:
    return json.loads(to_json(Document("a.pdf", pages)).encode("utf-8"))


def test_a_document_names_its_schema_its_source_and_its_pages():
    document = read_back(transcript_of("a", 1), Transcript(2, 0, 0, "", (), "failed", "no such page"))
    assert (document["schema"], document["source"]) == (SCHEMA, "a.pdf")
    assert [page["number"] for page in document["pages"]] == [1, 2]
    assert (document["pages"][1]["status"], document["pages"][1]["reason"]) == ("failed", "no such page")


def test_boxes_are_given_in_the_grid_and_in_pixels():
    table, image = read_back(transcript_of(read_golden("out_of_range", "in.txt")))["pages"][0]["blocks"]
    assert table["boxes"] == [{"grid": [900, 900, 1200, 1300], "pixels": [540, 756, 600, 840], "points": None}]
    assert image["label"] == "image"


def test_figures_are_listed_with_their_names():
    (page,) = read_back(transcript_of(read_golden("refs", "in.txt"), 5))["pages"]
    assert page["figures"] == [{"name": "5_0.jpg", "pixels": [120, 353, 420, 672], "points": None}]


def test_boxes_are_given_in_points_where_the_dpi_is_known():
    (page,) = read_back(transcript_of(read_golden("refs", "in.txt"), dpi=144.0))["pages"]
    assert page["dpi"] == 144
    assert page["figures"][0]["points"] == [60, 176.5, 210, 336]
    assert page["blocks"][0]["boxes"][0]["points"] == [pixel / 2 for pixel in page["blocks"][0]["boxes"][0]["pixels"]]


@pytest.mark.parametrize("dpi", [0, -1, math.nan, math.inf, 1e-320])
def test_a_dpi_that_no_page_has_is_not_known(dpi):
    (page,) = read_back(transcript_of(read_golden("refs", "in.txt"), dpi=dpi))["pages"]
    assert page["dpi"] is page["figures"][0]["points"] is None


def test_nothing_that_was_there_has_gone():
    (page,) = read_back(transcript_of(read_golden("refs", "in.txt")))["pages"]
    assert {"number", "width", "height", "status", "reason", "raw", "blocks", "figures"} <= page.keys()
    assert {"label", "text", "boxes"} <= page["blocks"][0].keys()


def fields_of(form: object, path: str = "") -> set[str]:
    """Every field by its path, such as pages[].number."""
    if isinstance(form, list):
        return set[str]().union(*(fields_of(each, f"{path}[]") for each in form if isinstance(each, dict)))
    if not isinstance(form, dict):
        return {path}
    inside = (
        fields_of(value, f"{path}.{name}".lstrip(".")) | {f"{path}.{name}".lstrip(".")} for name, value in form.items()
    )
    return set[str]().union(*inside)


def test_the_documented_fields_are_those_that_are_written():
    text = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    table = text.partition("\n## JSON\n")[2].partition("\n## ")[0]
    told = [name for row in re.findall(r"^\|(.*?)\|", table, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)]
    assert len(told) == len(set(told))
    assert set(told) == fields_of(read_back(transcript_of(read_golden("refs", "in.txt"))))
    assert f"`{SCHEMA}`" in table


@given(model_texts)
def test_every_text_comes_back(text):
    (page,) = read_back(transcript_of(text))["pages"]
    assert page["raw"].encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


def test_other_scripts_stay_readable():
    assert "漢字" in to_json(Document("a.pdf", (transcript_of("漢字"),)))
