"""The rows of papers agree with themselves."""

from __future__ import annotations

import pytest

from dsocr.evaluation.report import published
from dsocr.evaluation.report.table import to_markdown, to_rows


def test_every_overall_distance_is_the_mean_of_its_four():
    # Printed to three digits each, so that the mean may be off by one in the last.
    for row in published.OMNIDOCBENCH:
        if row.model == "dots.ocr":
            continue  # its order distances are its overall ones once more, which the table's note says
        for edits in (row.english, row.chinese):
            mean = (edits.text + edits.formula + edits.table + edits.order) / 4
            assert edits.all == pytest.approx(mean, abs=0.0011), row.model


def test_the_papers_ratios_are_text_tokens_over_vision_tokens():
    for row in published.FOX:
        assert row.low <= row.tiny.ratio * 64 + 3.2
        assert row.tiny.ratio * 64 - 3.2 <= row.high
        assert row.low <= row.small.ratio * 100 + 5
        assert row.small.ratio * 100 - 5 <= row.high
    assert sum(row.pages for row in published.FOX) == 100


def test_the_published_overall_of_version_1_5_follows_from_its_parts():
    (row,) = [row for row in published.OVERALL if row.text is not None]
    assert row.formula_cdm is not None
    assert row.table_teds is not None
    assert row.overall == pytest.approx(((1 - row.text) * 100 + row.formula_cdm + row.table_teds) / 3, abs=0.02)


def test_overall_rows_stand_best_first():
    assert [row.overall for row in published.OVERALL] == sorted(
        (row.overall for row in published.OVERALL), reverse=True
    )
    assert [row.score for row in published.OLMOCR] == sorted((row.score for row in published.OLMOCR), reverse=True)


def test_every_row_stands_in_its_table():
    for table, rows in (
        (published.fox_table(), published.FOX),
        (published.omnidocbench_table(), published.OMNIDOCBENCH),
        (published.document_types_table(), published.DOCUMENT_TYPES),
        (published.overall_table(), published.OVERALL),
        (published.olmocr_table(), published.OLMOCR),
    ):
        assert len(table.rows) == len(rows)
        assert table.note
        assert len(to_markdown(table).splitlines()) == len(rows) + 6


def test_valid_tokens_stand_beside_all_of_them():
    rows = {row["model"]: row for row in to_rows(published.omnidocbench_table())}
    tokens = {name: (row["tokens"], row["valid tokens"]) for name, row in rows.items()}
    assert tokens["DeepSeek-OCR Base"] == (256, 182)
    assert tokens["DeepSeek-OCR Large"] == (400, 285)
    assert tokens["DeepSeek-OCR Tiny"] == (64, None)
