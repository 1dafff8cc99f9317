"""Whatever the model writes, every form of the answer is whole, harmless, in its place and not larger than it should be."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import docx
import pypdfium2 as pdfium
import pytest
from drawn_pages import inked
from PIL import Image
from typer.testing import CliRunner, Result

from dsocr.cli import app
from dsocr.document.grounding import END_OF_TEXT
from dsocr.engine.request import Delta
from dsocr.jobs.forms import KINDS, TEXTS
from dsocr.ocr import OCR

FIGURE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n"
RUN = "__import__('os').system('touch x')"


def text(det: str, label: str = "text") -> str:
    return f"<|ref|>{label}<|/ref|><|det|>{det}<|/det|>\nwords\n"


ANSWERS = {
    "nothing": "",
    "white space": " \n\t\r\n \u2028",
    "one letter for ever": "a" * 10_000,
    "one line for ever": "again and again\n" * 1_000,
    "one row for ever": "<table>" + "<tr><td>1</td><td>2</td></tr>" * 700,
    "a program in a box": text(f"[[{RUN}]]"),
    "a program as the whole answer": f"{{'Line': {{'line': [{RUN}], 'line_type': []}}}}",
    "tags in tags": "<|ref|><|ref|>a<|/ref|><|det|><|det|>[[1, 2, 3, 4]]<|/det|><|/det|><|/ref|>" * 50,
    "tags that never end": "<|ref|>image<|/ref|><|det|>[[1, 2, 3" + "<|det|>" * 2_000,
    "tags cut short": "words <|re",
    "three and five numbers": text("[[1, 2, 3]]") + text("[[1, 2, 3, 4, 5]]"),
    "numbers that are none": text("[[nan, inf, -inf, 1e999]]") + text("[[0x1, 1_0, \u0661, ½]]"),
    "numbers far out": text("[[-5, -5, 1e9, 99999999999999999999]]", "image") + text("[[1.5, 2.25, 3.125, 4.0]]"),
    "boxes inside out": text("[[900, 900, 100, 100]]", "image"),
    "boxes of no area": text("[[500, 500, 500, 500]]", "image"),
    "boxes without number": text("[" + ", ".join(["[1, 2, 3, 4]"] * 1_500) + "]"),
    "figures without number": text("[" + ", ".join(["[1, 2, 300, 400]"] * 100) + "]", "image"),
    "brackets for ever": text("[" * 5_000 + "]" * 5_000),
    "labels that are no words": text("[[1, 2, 30, 40]]", "a|b<c>\n&\"'\0") + text("[[1, 2, 30, 40]]", "../../x"),
    "a table that never ends": "<table><tr><td>one<td>two",
    "a cell without bounds": '<table><tr><td rowspan="1000000000" colspan="1000000000">x</td></tr></table>',
    "tables in tables": "<table><tr><td>" * 300 + "x" + "</td></tr></table>" * 300,
    "a script": "<script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)><iframe src=//x></iframe>",
    "links that run": "[a](javascript:alert(1)) ![b](javascript:alert(1)) <a href='java\tscript:alert(1)'>c</a>",
    "links to files": "![](../../etc/passwd) ![](file:///etc/passwd) <img src='/etc/passwd'> [x](\\\\host\\share)",
    "a script in a cell": "<table><tr><td onclick=alert(1)><script>alert(1)</script></td></tr></table>",
    "a formula to run in a spreadsheet": "<table><tr><td>=cmd|' /C calc'!A0</td><td>@SUM(1)</td></tr></table>",
    "a comment that ends early": "--> <!-- --!> ]]> <![CDATA[ <?xml version='1.0'?> <!DOCTYPE a [<!ENTITY b 'c'>]> &b;",
    "formulas that never end": "\\( a \\[ b $$ c \\input{/etc/passwd} \\write18{x} " * 200,
    "characters that are none": "a\0b\ufeffc\ud800d\udfff\ufffe\uffff\x1b[31mred\x07\b\x7f\x85",
    "letters upon letters": "e" + "\u0301" * 1_000,
    "from right to left": "\u202e\u2066\u05e9\u05dc\u05d5\u05dd مرحبا\u202d",
    "special tokens": f"<image>{END_OF_TEXT}<|grounding|>{END_OF_TEXT.replace('end', 'begin')} words",
    "another language": "这是一页没有人问过的文字。" * 200,
    "geometry of rubbish": "{'Line': {'line': ['1 -- 2'], 'line_type': [9], 'line_endpoint': ['(1e999, nan)']}, "
    "'Circle': {'circle_center': ['(0,0)'], 'radius': [1e308]}}",
}


class Author:
    """Stands where the engine does, and writes the answers whole, one after another."""

    def __init__(self) -> None:
        self._answers = iter(ANSWERS.values())

    def stream(self, request: object) -> Iterator[Delta]:
        yield Delta(next(self._answers), (7,))
        yield Delta("", (), "stop")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def result(root, checkpoint) -> Result:
    """One document with a page for each answer, in every form at once."""
    pages = [inked((200, 260), (5 * number, 0, 0)) for number in range(len(ANSWERS))]
    pages[0].save(root / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OCR, "engine", Author())
        patch.chdir(root)
        began = time.monotonic()
        words = ["a.tif", "-o", "out", "--format", ",".join((*TEXTS, *KINDS)), "--no-cache", "--join", "--no-apart"]
        result = CliRunner().invoke(app, ["read", "--model", str(checkpoint), "--mode", "tiny", *words])
    assert time.monotonic() - began < 60
    return result


@pytest.fixture(scope="module")
def out(root, result) -> Path:
    return root / "out"


def test_the_run_ends_well(result):
    assert (result.exit_code, result.exception) == (0, None)
    assert "Traceback" not in result.stderr


def test_nothing_was_run_and_nothing_lies_beside_the_folder(root, out):
    assert sorted(path.name for path in root.iterdir()) == ["a.tif", "out"]
    known = re.compile(
        r"(manifest|\.dsocr)\.jsonl|a\.(md|json|html|txt|docx|hocr|alto\.xml|docling\.json)|a_(text|layout)\.pdf|a_layout_\d+\.jpg"
        r"|a_table_\d+(_\d+)?\.csv|a_figure_\d+(_\d+)?\.svg|images/a/\d+_\d+\.jpg|a/.+"
    )
    names = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert [name for name in names if not known.fullmatch(name)] == []


def test_no_form_swells(out):
    sizes = {path.name: path.stat().st_size for path in out.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 6 * 2**20, sizes


def test_json_holds_every_answer_to_the_letter(out):
    pages = json.loads((out / "a.json").read_text(encoding="utf-8"))["pages"]
    assert [page["raw"] for page in pages] == list(ANSWERS.values())
    assert {page["status"] for page in pages} == {"ok"}


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.hocr", "a.alto.xml", "a.docling.json"])
def test_every_text_is_whole_and_has_all_pages(out, name):
    content = (out / name).read_text(encoding="utf-8")
    assert "words" in content
    assert "这是一页没有人问过的文字" in content


@pytest.mark.parametrize("name", ["a.hocr", "a.alto.xml"])
def test_what_is_xml_is_well_formed_and_declares_nothing_of_its_own(out, name):
    content = (out / name).read_text(encoding="utf-8")
    ElementTree.fromstring(content.encode())
    assert "<!ENTITY" not in content


def test_drawings_are_well_formed(out):
    for path in out.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


class Sniffer(HTMLParser):
    """Notes what a browser would run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "svg", "form", "base", "link"):
            self.found.append(tag)
        for name, value in attributes:
            to = "".join((value or "").split()).lower()
            runs = name.startswith("on") or (name in ("src", "href", "action") and "script:" in to)
            fetches = name == "src" and not to.startswith("data:image/")
            if runs or fetches:
                self.found.append((tag, name, value))


def test_html_runs_and_fetches_nothing(out):
    sniffer = Sniffer()
    sniffer.feed((out / "a.html").read_text(encoding="utf-8"))
    assert sniffer.found == []


@pytest.mark.parametrize("name", ["a_text.pdf", "a_layout.pdf"])
def test_pdfs_have_all_pages(out, name):
    document = pdfium.PdfDocument(out / name)
    assert len(document) == len(ANSWERS)
    for number in range(len(document)):
        document[number].get_textpage().get_text_bounded()


def test_a_word_processor_can_open_its_file(out):
    assert "words" in docx.Document(out / "a.docx").element.xml


def test_pictures_can_be_opened(out):
    paths = [*out.rglob("*.jpg")]
    assert len(paths) > len(ANSWERS)
    for path in paths:
        Image.open(path).load()


def test_no_cell_of_a_spreadsheet_is_a_command(out):
    contents = [path.read_text(encoding="utf-8-sig") for path in out.glob("*.csv")]
    assert any("cmd" in content for content in contents)
    assert not any(re.search(r'(^|,)"?[=@+]', content, re.MULTILINE) for content in contents)
