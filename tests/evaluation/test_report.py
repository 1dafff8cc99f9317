"""A report is written whole, needs nothing from outside, and cannot be made to run anything."""

from __future__ import annotations

import json

import pytest

from dsocr.errors import FileAccessError
from dsocr.evaluation.report.plots import Plot, Point, Series
from dsocr.evaluation.report.table import Column, Table
from dsocr.evaluation.report.writer import Fact, Report, Section, as_html, as_json, as_markdown, write_report

HOSTILE = "<script>alert(1)</script>"


def report(text: str = "Base") -> Report:
    table = Table(text, (Column(text), Column("share", ".1%")), ((text, 0.5),), text)
    plot = Plot(text, text, text, (Series(text, (Point(1, 0.5),)),))
    return Report(text, (Fact(text, text),), (Section(text, (table,), (plot,)),))


def test_all_three_forms_and_each_plot_are_written(tmp_path):
    names = [path.name for path in write_report(report(), tmp_path / "new" / "folder")]
    assert names == ["report.md", "report.json", "report.html", "plot-1.svg"]
    assert all((tmp_path / "new" / "folder" / name).stat().st_size for name in names)


def test_plots_that_show_nothing_are_left_out(tmp_path):
    empty = Plot("Empty", "across", "up", ())
    whole = Report(
        "Title", (), (Section("One", (), (empty, report().sections[0].plots[0])), Section("Two", (), (empty,)))
    )
    names = [path.name for path in write_report(whole, tmp_path)]
    assert names == ["report.md", "report.json", "report.html", "plot-1.svg"]
    assert ">Base<" in (tmp_path / "plot-1.svg").read_text()
    assert "Empty" not in (tmp_path / "report.html").read_text()


def test_plots_of_an_earlier_report_go_with_it(tmp_path):
    section = report().sections[0]
    write_report(Report("Title", (), (section, section, section)), tmp_path)
    (tmp_path / "plot-of-mine.svg").write_text("")
    write_report(report(), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["plot-1.svg", "plot-of-mine.svg"]


def test_the_page_fetches_nothing_and_runs_nothing():
    page = as_html(report(HOSTILE))
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert page.count("http") == page.count("http-equiv") + page.count('xmlns="http')


def test_the_page_shows_the_plot_and_the_table():
    page = as_html(report())
    assert "<svg" in page
    assert "50.0%" in page


def test_the_printed_form_has_titles_facts_and_tables():
    printed = as_markdown(report())
    assert printed.startswith("# Base\n\n- Base: Base\n\n## Base\n")
    assert "| Base | 50.0% |" in printed


def test_the_json_has_the_figures_unrounded():
    content = json.loads(as_json(report()))
    assert content["sections"][0]["tables"][0]["rows"] == [{"Base": "Base", "share": 0.5}]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileAccessError, match="cannot be written"):
        write_report(report(), tmp_path / "file" / "below")
