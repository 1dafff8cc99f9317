"""A fuzzer for everything that reads what a model wrote; it learns which texts reach new code. No part of `make test`.

    pip install atheris
    python tests/fuzz/answers.py grounding|writers|geometry [-max_total_time=60]

All other options are those of libFuzzer. A text that breaks a promise ends it, and lies in a file crash-… that can be
given back as an option.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "document"))
with atheris.instrument_imports(include=["dsocr.document", "markdown_it"]):
    from written_pages import FRAGMENTS

    from dsocr.document import (
        Document,
        MarkdownStyle,
        StreamingMarkdown,
        StreamParser,
        Tag,
        Transcript,
        csv_files,
        join_pages,
        parse,
        read_geometry,
        to_alto,
        to_hocr,
        to_html,
        to_json,
        to_markdown,
        to_svg,
        to_text,
        write,
    )
    from dsocr.document.grounding import END_OF_TEXT

FIGURE = (
    "{'Line': {'line': ['(-5, 0) -- (5, 0)', '(0, 1.5) -- (-2, 3)'], 'line_type': ['--', '-'], "
    "'line_endpoint': ['A: (-5, 0)', 'B: (5, 0)']}, 'Circle': {'circle_center': ['O: (0, 0)'], 'radius': [3]}}"
)
GEOMETRY = [
    *("{", "}", "[", "]", "'", '"', "\\", ",", ":", "-", " ", "\n", "(", ")", "--", "O: (1, 2)", "(1, 2) -- (3, 4)"),
    *(
        "1e999",
        "nan",
        "3.5",
        "-0",
        "9" * 400,
        "\\u0027",
        "[" * 50,
        "\ud800",
        "'line': ",
        "'Line': ",
        "'radius': ",
        "\0",
        "&<",
    ),
]
ROWS = [
    "<table>",
    "<tr>",
    "<td>",
    "<td rowspan=3 colspan=900>",
    "</td>",
    "</tr>",
    "</table>",
    "=1+1",
    "| a | b |\n",
    "---",
]
LINKS = [
    "[a](",
    "javascript:",
    "![",
    "](",
    ")",
    "<a href=",
    "<img src=x onerror=y>",
    "`",
    "```\n",
    "&lt;",
    "&#0;",
    "*",
    "#",
]


def text_of(data: atheris.FuzzedDataProvider, words: list[str]) -> str:
    """Mostly words that mean something to the readers, and now and then any letters."""
    pieces = []
    while data.remaining_bytes() > 1:
        choice = data.ConsumeIntInRange(0, 255)
        pieces.append(words[choice] if choice < len(words) else data.ConsumeUnicode(choice % 4))
    # Two halves of a character that came side by side are one, as they would be in any file.
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def grounding(data: atheris.FuzzedDataProvider) -> None:
    """What is parsed is written back to the letter, and however it was cut, it gives the same pieces."""
    text = text_of(data, FRAGMENTS)
    kept = text
    while kept.endswith(END_OF_TEXT):
        kept = kept[: -len(END_OF_TEXT)]
    assert write(parse(text)) == kept
    assert pieces([text]) == pieces(list(text))


def pieces(deltas: list[str]) -> list[Tag | str]:
    """Tags and the text between them, neighbours joined."""
    parser, found = StreamParser(), list[Tag | str]()
    for delta in deltas:
        found += parser.feed(delta)
    last, rest = parser.close()
    joined = list[Tag | str]()
    for piece in [*found, *last, rest]:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return [piece for piece in joined if piece]


def writers(data: atheris.FuzzedDataProvider) -> None:
    """Streamed Markdown is the whole one, HTML runs and fetches nothing, XML is well-formed, JSON keeps every letter."""
    style = MarkdownStyle(("html", "gfm")[data.ConsumeBool()], ("latex", "dollar")[data.ConsumeBool()])
    labels_are_text, cuts = data.ConsumeBool(), data.ConsumeIntInRange(1, 40)
    text = text_of(data, [*FRAGMENTS, *ROWS, *LINKS])
    page = Transcript(1, 300, 400, text, parse(text), labels_are_text=labels_are_text)
    document = Document("a.png", (page, page))
    stream = StreamingMarkdown(1, 300, 400, "images", labels_are_text, style)
    shown = "".join(stream.feed(text[start : start + cuts]) for start in range(0, len(text), cuts)) + stream.close()
    assert shown == to_markdown(page, style=style)
    sniffer = Sniffer()
    sniffer.feed(to_html(document))
    to_text(join_pages(document), style=style)
    list(csv_files(document, "a"))
    for xml in (to_hocr(document), to_alto(document)):
        ElementTree.fromstring(xml.encode("utf-8", "replace"))
    assert json.loads(to_json(document))["pages"][0]["raw"] == text


class Sniffer(HTMLParser):
    """Fails at whatever a browser would run or fetch."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object", "embed", "form", "base", "link"), tag
        for name, value in attributes:
            to = "".join((value or "").split()).lower()
            assert not name.startswith("on"), name
            assert name not in ("href", "action") or to.startswith("#page-"), to
            assert name != "src" or to.startswith("data:image/"), to


def geometry(data: atheris.FuzzedDataProvider) -> None:
    """A damaged figure raises nothing, and what is still one is drawn as well-formed SVG."""
    text = FIGURE
    for _ in range(data.ConsumeIntInRange(0, 6)):
        start, length = data.ConsumeIntInRange(0, len(text)), data.ConsumeIntInRange(0, 30)
        choice = data.ConsumeIntInRange(0, len(GEOMETRY))
        text = text[:start] + [*GEOMETRY, data.ConsumeUnicode(2)][choice] + text[start + length :]
    figure = read_geometry(text)
    if figure is not None:
        ElementTree.fromstring(to_svg(figure))


TARGETS: dict[str, Callable[[atheris.FuzzedDataProvider], None]] = {
    each.__name__: each for each in (grounding, writers, geometry)
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(
        [*sys.argv, "-max_len=160", "-len_control=0", "-timeout=60", *([] if sys.argv[1:] else ["-max_total_time=60"])],
        lambda data: target(atheris.FuzzedDataProvider(data)),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
