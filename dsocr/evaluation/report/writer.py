"""What an evaluation found, as one value, and the three files it is written to: Markdown, JSON, and HTML with plots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from itertools import count, takewhile
from pathlib import Path

from dsocr.errors import FileAccessError
from dsocr.evaluation.report.plots import Plot, draw
from dsocr.evaluation.report.table import Table, to_html, to_markdown, to_rows

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """\
:root { color-scheme: light dark; --ground: #f3f2ee; --sheet: #fff; --ink: #1d1f21; --soft: #5f646c; --line: #d9d7d0; }
@media (prefers-color-scheme: dark) { :root { --ground: #141518; --sheet: #1e2024; --ink: #e4e2dc; --soft: #9a9ea6;
  --line: #3a3d44; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 2.5rem; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 4px; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2.5rem; font-size: 1.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; font-size: 0.9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1.2rem 0 0.3rem; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { padding: 0.3em 0; text-align: start; font-weight: 600; }
td, th { padding: 0.3em 0.7em; border-bottom: 1px solid var(--line); text-align: start; vertical-align: top;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 500; white-space: normal; vertical-align: bottom; }
small { display: block; color: var(--soft); font-size: 0.75rem; }
.n { text-align: end; }
.note { margin: 0.2rem 0 1rem; max-width: 46rem; color: var(--soft); font-size: 0.85rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
svg { width: 100%; max-width: 44rem; height: auto; margin: 1rem 0; }
"""


@dataclass(frozen=True)
class Fact:
    """One thing to know about how the figures came about."""

    name: str
    value: str


@dataclass(frozen=True)
class Section:
    """A heading, tables and plots under it; plots without anything to see are left out of what is written."""

    title: str
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True)
class Report:
    """What was evaluated, how, and what came out."""

    title: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]


def as_markdown(report: Report) -> str:
    """The report as it is printed: all but the plots."""
    facts = "\n".join(f"- {fact.name}: {fact.value}" for fact in report.facts)
    parts = [f"# {report.title}", facts]
    for section in report.sections:
        parts += [f"## {section.title}", *map(to_markdown, section.tables)]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(report: Report) -> str:
    """The same figures, unrounded: {title, facts, sections: [{title, tables: [{title, note, rows}]}]}."""
    content = {
        "title": report.title,
        "facts": {fact.name: fact.value for fact in report.facts},
        "sections": [
            {"title": section.title, "tables": [_table(table) for table in section.tables]}
            for section in report.sections
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def as_html(report: Report) -> str:
    """One page with the tables and the plots; it needs nothing from outside and runs nothing."""
    facts = "\n".join(f"<dt>{escape(fact.name)}</dt><dd>{escape(fact.value)}</dd>" for fact in report.facts)
    sections = "\n".join(map(_section, report.sections))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(report.title)}</h1>\n<dl>\n{facts}\n</dl>\n{sections}\n</main>\n</body>\n</html>\n"
    )


def write_report(report: Report, folder: Path) -> tuple[Path, ...]:
    """report.md, report.json, report.html, and plot-1.svg and so on; FileAccessError where that cannot be.

    Plots that an earlier report had more of go.
    """
    contents = {"report.md": as_markdown(report), "report.json": as_json(report), "report.html": as_html(report)}
    plots = [plot for section in report.sections for plot in _shown(section)]
    contents |= {f"plot-{number}.svg": draw(plot) for number, plot in enumerate(plots, 1)}
    for name, content in contents.items():
        write_file(folder / name, content)
    for stale in takewhile(Path.exists, (folder / f"plot-{number}.svg" for number in count(len(plots) + 1))):
        stale.unlink()
    return tuple(folder / name for name in contents)


def write_file(path: Path, content: str) -> None:
    """A text file, its folder made if need be; FileAccessError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"{path} cannot be written ({error.strerror})") from None


def _table(table: Table) -> dict[str, object]:
    return {"title": table.title, "note": table.note, "rows": to_rows(table)}


def _shown(section: Section) -> list[Plot]:
    """Its plots, without those in which there is nothing to see."""
    return [plot for plot in section.plots if plot.shows]


def _section(section: Section) -> str:
    plots = f'<div class="plots">{"".join(map(draw, _shown(section)))}</div>' if _shown(section) else ""
    return "\n".join([f"<h2>{escape(section.title)}</h2>", *map(to_html, section.tables), plots])
