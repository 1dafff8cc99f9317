"""Answers reach their folder whole, under names that nothing else takes, and their stream as they are written."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsocr.document import (
    Document,
    MarkdownStyle,
    Transcript,
    parse,
    to_html,
    to_json,
    to_markdown,
    to_official,
    to_text,
)
from dsocr.document.to_markdown import PAGE_SEPARATOR
from dsocr.errors import FileAccessError, InputError
from dsocr.jobs.answers import RECORD, files_named
from dsocr.jobs.forms import KINDS, TEXTS, Wishes
from dsocr.jobs.job import Job
from dsocr.jobs.outputs import AGAIN, Folder, Printer, parse_formats, wiping
from dsocr.ocr import Options
from dsocr.pages import open_pages

IMAGE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499], [500, 500, 999, 999]]<|/det|>"
WORD = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n"
PIECES = [IMAGE, "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>", "\n", "words", "<|ref|>", "\\coloneqq", "é", "-->"]
STYLE = MarkdownStyle("gfm", "dollar", page_marks=False, drop=frozenset({"text"}))
WISHES = Wishes()
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


def page(raw: str, number: int = 1, size: tuple[int, int] = (200, 100), **fields) -> Transcript:
    return Transcript(number, *size, raw, parse(raw), **({"image": Image.new("RGB", size, "white")} | fields))


def put(output, source: str, *pages: Transcript) -> Document:
    """Hands a document over as a run does: each page in letters, then whole, and the pictures let go of."""
    output.begin_document(source)
    for transcript in pages:
        output.begin_page(transcript.page, transcript.width, transcript.height, transcript.labels_are_text)
        for letter in transcript.raw:
            output.add(letter)
        output.end_page(transcript)
    document = Document(source, pages)
    output.end_document(document)
    return document


def names(root: Path) -> list[str]:
    """Every file below, hidden ones too, but for the record of whose they are."""
    found = (path for path in root.rglob("*") if not path.is_dir() and path.name != RECORD)
    return sorted(str(path.relative_to(root)) for path in found)


def printed(formats: tuple[str, ...], *documents: tuple[Transcript, ...], wishes: Wishes = WISHES) -> str:
    written: list[str] = []
    printer = Printer(formats, written.append, wishes)
    for pages in documents:
        put(printer, "a.pdf", *pages)
    return "".join(written)


class TestFolder:
    def test_every_form_has_its_file(self, tmp_path):
        document = put(Folder(tmp_path, ("md", "json", "txt", "picture")), "scans/a.pdf", page("one"), page("two", 2))
        assert names(tmp_path) == ["a.json", "a.md", "a.txt", "a_layout_1.jpg", "a_layout_2.jpg"]
        assert (tmp_path / "a.md").read_text() == to_markdown(document) + "\n"
        assert (tmp_path / "a.txt").read_text() == to_text(document) + "\n"
        assert json.loads((tmp_path / "a.json").read_text()) == json.loads(to_json(document))
        assert Image.open(tmp_path / "a_layout_2.jpg").size == (200, 100)

    @given(raws=st.lists(texts, min_size=1, max_size=3), words=st.booleans())
    def test_the_figures_are_cropped_under_the_very_names_that_are_linked(self, tmp_path_factory, raws, words):
        root = tmp_path_factory.mktemp("out")
        pages = [page(raw, number, labels_are_text=words) for number, raw in enumerate(raws, start=3)]
        put(Folder(root, ("md",)), "a.pdf", *pages)
        links = re.findall(r"!\[\]\((.+?)\)", (root / "a.md").read_text())
        assert sorted([*links, "a.md"]) == names(root)

    def test_a_link_leads_to_its_figure_whatever_the_file_is_called(self, tmp_path):
        put(Folder(tmp_path, ("md",)), "my (best) #1 page.png", page(IMAGE))
        link = "images/my%20%28best%29%20%231%20page/1_0.jpg"
        assert link in (tmp_path / "my (best) #1 page.md").read_text()
        assert Image.open(tmp_path / "images/my (best) #1 page/1_0.jpg").size == (99, 49)

    def test_figures_are_cut_only_for_the_form_that_links_them(self, tmp_path):
        put(Folder(tmp_path, ("json",)), "a.png", page(IMAGE))
        assert names(tmp_path) == ["a.json"]

    def test_figures_are_part_of_the_html_and_not_beside_it(self, tmp_path):
        document = put(Folder(tmp_path, ("html",)), "a.png", page(IMAGE))
        assert names(tmp_path) == ["a.html"]
        assert (tmp_path / "a.html").read_text() == to_html(document) + "\n"
        assert to_html(document).count("data:image/jpeg") == 2

    def test_the_figures_of_one_document_are_not_those_of_the_next(self, tmp_path):
        folder, small = Folder(tmp_path, ("html",)), page(IMAGE, size=(100, 100))
        put(folder, "a.png", page(IMAGE))
        put(folder, "b.png", small)
        assert (tmp_path / "b.html").read_text() == to_html(Document("b.png", (small,))) + "\n"

    def test_the_published_file_set_has_a_folder_of_its_own(self, tmp_path):
        document = put(Folder(tmp_path, ("official", "md")), "scan.png", page(IMAGE))
        files = {file.name: file.content for file in to_official(document, "scan")}
        assert names(tmp_path / "scan") == sorted(files)
        assert all((tmp_path / "scan" / name).read_bytes() == content for name, content in files.items())
        assert names(tmp_path / "images" / "scan") == ["1_0.jpg", "1_1.jpg"]

    def test_a_document_called_images_does_not_mix_with_the_figures(self, tmp_path):
        put(Folder(tmp_path, ("official", "md")), "images.pdf", page(IMAGE))
        assert {Path(name).parts[0] for name in names(tmp_path)} == {"images", "images.pdf", "images.pdf.md"}

    def test_texts_are_written_as_wished(self, tmp_path):
        document = put(Folder(tmp_path, ("md", "txt"), Wishes(STYLE)), "a.pdf", page(IMAGE), page("<table><td>1", 2))
        assert (tmp_path / "a.md").read_text() == to_markdown(document, "images/a", style=STYLE) + "\n"
        assert (tmp_path / "a.txt").read_text() == to_text(document, style=STYLE) + "\n"

    @pytest.mark.parametrize("form", [*TEXTS, *KINDS])
    def test_every_form_is_known_to_be_written_once_it_is(self, tmp_path, form):
        folder = Folder(tmp_path, (form,))
        name = folder.choose_name("a[1].pdf")
        assert not folder.is_written(name)
        geometry = "{'Circle': {'circle_center': ['O: (0, 0)'], 'radius': [3]}}"
        folder.begin_document("a[1].pdf", name)
        for transcript in (page("<table><td>1</table>"), page(geometry, 2)):
            folder.end_page(transcript)
        folder.end_document(Document("a[1].pdf", (page("<table><td>1</table>"), page(geometry, 2))))
        assert folder.is_written(name)

    def test_forms_that_no_document_had_anything_for_are_told(self, tmp_path):
        folder = Folder(tmp_path, ("csv", "svg", "picture", "md"))
        assert folder.show_unused() is None
        put(folder, "a.pdf", page("words", image=None))
        assert folder.show_unused() == (
            "nothing to write: csv (no tables), svg (no plane figures, which --prompt figure reads), "
            "picture (no pages that can be shown)"
        )
        put(folder, "b.pdf", page("<table><td>1</table>"))
        assert folder.show_unused() == "nothing to write: svg (no plane figures, which --prompt figure reads)"
        (tmp_path / "c").mkdir()
        put(Folder(tmp_path / "c", ("txt",)), "c.pdf", page("words"))
        assert Folder(tmp_path / "c", ("txt",)).show_unused() is None

    def test_a_pdf_is_given_back_with_its_text_and_is_not_overwritten(self, tmp_path, make_pdf):
        (tmp_path / "a.pdf").write_bytes(original := make_pdf(["x"]))
        put(Folder(tmp_path, ("pdf",)), str(tmp_path / "a.pdf"), page("words that were read"))
        assert (tmp_path / "a.pdf").read_bytes() == original
        [found] = open_pages(tmp_path / "a_text.pdf")
        assert found.text

    def test_a_form_that_cannot_be_written_costs_no_other_one(self, tmp_path, make_pdf):
        (tmp_path / "a.pdf").write_bytes(make_pdf(["x"], password="closed"))
        with pytest.raises(InputError, match="PDF"):
            put(Folder(tmp_path / "out", ("pdf", "md")), str(tmp_path / "a.pdf"), page("words"))
        assert (tmp_path / "out" / "a.md").read_text() == "words\n"

    def test_a_page_without_a_picture_has_no_layout_picture(self, tmp_path):
        failed = Transcript(1, 0, 0, "", (), "failed", "damaged")
        put(Folder(tmp_path, ("md", "picture")), "a.tif", failed, page("x", 2))
        assert names(tmp_path) == ["a.md", "a_layout_2.jpg"]
        assert "<!-- page 1: failed: damaged -->" in (tmp_path / "a.md").read_text()

    def test_documents_of_one_name_do_not_overwrite_each_other(self, tmp_path):
        folder = Folder(tmp_path, ("txt",))
        for source in ("a.png", "a.pdf", "b/a.png", "b/a.pdf", "b/A.png", "a.png.pdf", "a.png"):
            put(folder, source, page(source))
        found = {name: (tmp_path / name).read_text().strip() for name in names(tmp_path)}
        assert found == {
            "a.txt": "a.png",
            "a.pdf.txt": "a.pdf",
            "a.png.txt": "b/a.png",
            "a.pdf-2.txt": "b/a.pdf",
            "A.png-2.txt": "b/A.png",
            "a.png.pdf.txt": "a.png.pdf",
            "a.png-3.txt": "a.png",
        }

    @pytest.mark.parametrize(
        ("formats", "sources"),
        [(("json", "docling"), ("x.png", "x.docling.png")), (("official", "md"), ("a", "a.md.png"))],
    )
    def test_no_two_documents_share_a_file_in_any_form(self, tmp_path, formats, sources):
        folder = Folder(tmp_path, formats)
        made = [files_named(folder.choose_name(source), formats) for source in sources]
        assert not made[0] & made[1]

    def test_whose_an_answer_is_stays_known_where_all_is_moved(self, tmp_path):
        (tmp_path / "old/in").mkdir(parents=True)
        asked = {"name": "a.png", "source": tmp_path / "old/in/a.png"}
        folder = Folder(tmp_path / "old/out", ("txt",))
        folder.begin_document(str(asked["source"]), folder.choose_name(**asked))
        folder.end_document(Document("a.png", (page("x"),)))
        (tmp_path / "old").rename(tmp_path / "new")
        moved = Folder(tmp_path / "new/out", ("txt",))
        assert moved.is_written(moved.choose_name("a.png", tmp_path / "new/in/a.png"))

    @pytest.mark.parametrize("damage", [b"{}\n[]\nnull\n\xff", b'{"name": "a", "inp'])
    def test_a_damaged_record_is_read_as_far_as_it_goes(self, tmp_path, damage):
        (tmp_path / RECORD).write_bytes(damage)
        put(Folder(tmp_path, ("txt",)), "a.png", page("x"))
        assert Folder(tmp_path, ("txt",)).answers.is_answer(tmp_path / "a.txt")

    def test_a_query_of_an_address_is_not_written_down(self, tmp_path):
        folder = Folder(tmp_path, ("txt",))
        for key in ("one", "two"):
            address = f"https://host.example/a.png?key={key}"
            folder.begin_document(address, folder.choose_name("a.png", address))
        assert "key" not in (tmp_path / RECORD).read_text()
        assert (tmp_path / RECORD).read_text().count('"name": "a"') == 1

    @pytest.mark.parametrize("source", ["...png", "..png", "x/.png", "stdin", "naïve 漢字.png", "image", "a\nb.png"])
    def test_no_name_leads_out_of_the_folder(self, tmp_path, source):
        put(Folder(tmp_path / "out", ("md",)), source, page(IMAGE))
        assert len(names(tmp_path / "out")) == len(names(tmp_path)) == 3
        assert len(names(tmp_path / "out" / "images")) == 2
        assert not names(tmp_path / "out" / "images")[0].startswith("1_")

    def test_a_second_run_replaces_what_the_first_wrote(self, tmp_path):
        for text in ("old", "new"):
            put(Folder(tmp_path, ("txt",)), "a.png", page(text))
        assert (tmp_path / "a.txt").read_text() == "new\n"
        assert names(tmp_path) == ["a.txt"]

    def test_what_cannot_be_written_is_one_line_and_leaves_no_half_file(self, tmp_path):
        (tmp_path / "a.txt").mkdir()
        with pytest.raises(FileAccessError, match=r"a\.txt: cannot be written \(Is a directory\)"):
            put(Folder(tmp_path, ("txt",)), "a.png", page("x"))
        assert names(tmp_path) == []

    def test_an_interruption_while_writing_leaves_the_old_file_and_no_half_one(self, tmp_path, monkeypatch):
        put(Folder(tmp_path, ("txt",)), "a.png", page("old"))

        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            put(Folder(tmp_path, ("txt",)), "a.png", page("new"))
        assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == {"a.txt": "old\n"}

    def test_a_file_where_the_folder_should_be_is_a_mistake(self, tmp_path):
        (tmp_path / "out").write_text("")
        with pytest.raises(FileAccessError, match="cannot be written"):
            Folder(tmp_path / "out", ("md",))
        with pytest.raises(FileAccessError, match="cannot be written"):
            Folder(tmp_path / "out" / "in", ("md",))

    def test_a_page_longer_than_a_jpeg_can_be_is_made_smaller(self, tmp_path):
        put(Folder(tmp_path, ("md", "picture")), "a.png", page(WORD, size=(140_000, 20)))
        assert Image.open(tmp_path / "a_layout_1.jpg").size == (65_500, 9)
        assert Image.open(tmp_path / "images/a/1_0.jpg").width == 65_500

    def test_what_no_file_can_hold_is_replaced(self, tmp_path):
        put(Folder(tmp_path, ("md", "txt", "json")), "a.png", page("half \ud800"))
        assert (tmp_path / "a.md").read_text(encoding="utf-8") == "half ?\n"
        assert json.loads((tmp_path / "a.json").read_text())["pages"][0]["raw"] == "half \ud800"


class TestPrinter:
    @given(st.lists(texts, max_size=3), st.sampled_from(["ok", "truncated", "failed"]))
    def test_the_stream_is_the_markdown_without_links_and_a_newline(self, raws, status):
        pages = tuple(page(raw, number, status=status) for number, raw in enumerate(raws, start=1))
        assert printed(("md",), pages) == to_markdown(Document("a.pdf", pages), images_dir=None) + "\n"

    def test_words_with_boxes_are_streamed_as_words(self):
        assert printed(("md",), (page(WORD * 2, labels_are_text=True),)) == "image\nimage\n"

    def test_pages_are_marked_off_in_a_document_and_between_documents(self):
        shown = printed(("md",), (page("one"), page("two", 2)), (page("three"),))
        assert shown == f"one{PAGE_SEPARATOR}two\n{PAGE_SEPARATOR}three\n"

    def test_text_comes_before_its_page_is_read(self):
        written: list[str] = []
        printer = Printer(("md",), written.append)
        printer.begin_document("a.png")
        printer.begin_page(1, 200, 100, False)
        printer.add("Hello wor")
        assert "".join(written) == "Hello wor"

    def test_a_page_that_is_read_again_says_that_what_was_shown_is_void(self):
        written: list[str] = []
        printer = Printer(("md",), written.append)
        printer.begin_document("a.png")
        printer.begin_page(1, 200, 100, False)
        printer.add("good and good and good <|ref|>text<|/ref|><|det|>[[1, 2")
        printer.begin_again()
        printer.add("The text.")
        printer.end_page(page("The text."))
        assert "".join(written) == f"good and good and good\n\n{AGAIN}\n\nThe text."

    def test_where_nobody_looks_a_page_that_is_read_again_is_there_once(self):
        written: list[str] = []
        printer = Printer(("md",), written.append, live=False)
        printer.begin_document("a.png")
        printer.begin_page(1, 200, 100, False)
        printer.add("Hollo wor")
        printer.begin_again()
        printer.add("Hello ")
        printer.add("world")
        assert not "".join(written)
        printer.end_page(page("Hello world"))
        assert "".join(written) == "Hello world"

    @pytest.mark.parametrize(("live", "begun", "second"), [(True, "tw", "tw\n\n"), (False, "tw", ""), (True, "", "")])
    def test_pages_that_were_not_read_are_told_of(self, live, begun, second):
        written: list[str] = []
        printer = Printer(("md",), written.append, live=live)
        put(printer, "a.pdf", page("nought"))
        printer.begin_document("b.pdf")
        printer.begin_page(1, 200, 100, False)
        printer.add("one")
        printer.end_page(page("one"))
        printer.begin_page(2, 200, 100, False)
        printer.add(begun)
        rest = [Transcript(number, 0, 0, "", (), "skipped", "interrupted") for number in (2, 3)]
        printer.end_document(Document("b.pdf", (page("one"), *rest)))
        comments = [f"<!-- page {number}: skipped: interrupted -->" for number in (2, 3)]
        assert "".join(written).split(PAGE_SEPARATOR) == ["nought\n", "one", second + comments[0], comments[1] + "\n"]

    def test_a_page_of_which_nothing_is_shown_is_not_marked_off(self):
        written: list[str] = []
        printer = Printer(("md",), written.append)
        put(printer, "a.pdf", page("one"))
        printer.begin_document("b.pdf")
        printer.begin_page(1, 200, 100, False)
        printer.add("<|ref|>text")
        assert "".join(written) == "one\n"

    @pytest.mark.parametrize(
        ("shown", "wiped"),
        [
            ("", "\r\x1b[J"),
            ("one line", "\r\x1b[J"),
            ("one\ntwo\n", "\r\x1b[2A\x1b[J"),
            ("x" * 41 + "\ny", "\r\x1b[2A\x1b[J"),  # 40 columns
            ("e\u0301" * 40 + "\nx", "\r\x1b[1A\x1b[J"),  # marks that take no column
            ("a\tb\n", ""),  # nobody knows how far that goes
            ("\u6f22" * 21, "\r\x1b[1A\x1b[J"),  # of two columns each
            ("\n" * 9, "\r\x1b[9A\x1b[J"),
            ("\n" * 10, ""),  # its beginning has left the screen
        ],
    )
    def test_a_terminal_forgets_what_it_was_shown(self, shown, wiped, monkeypatch):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 10)))
        monkeypatch.setenv("TERM", "xterm")
        assert wiping(shown) == wiped
        monkeypatch.setenv("TERM", "dumb")
        assert wiping(shown) == ""

    @pytest.mark.parametrize("formats", [("txt",), ("json",), ("json", "md"), ("md", "txt"), ("html",)])
    def test_other_forms_come_one_after_another_when_a_document_is_read(self, formats):
        pages = (page(IMAGE), page("two", 2))
        document = Document("a.pdf", pages)
        forms = {"md": to_markdown(document, None), "txt": to_text(document), "json": to_json(document)}
        forms["html"] = to_html(document)
        assert printed(formats, pages) == "".join(forms[name] + "\n" for name in formats)

    @given(st.lists(texts, max_size=3), st.booleans())
    def test_the_stream_is_the_markdown_of_any_style(self, raws, join):
        pages = tuple(page(raw, number) for number, raw in enumerate(raws, start=1))
        shown = printed(("md",), pages, wishes=Wishes(STYLE, join))
        assert shown == to_markdown(Wishes(STYLE, join).apply(Document("a.pdf", pages)), None, style=STYLE) + "\n"

    def test_what_is_joined_is_printed_joined(self):
        assert printed(("md",), (page("it goes"), page("on", 2)), wishes=Wishes(join=True)).startswith("it goes on\n")

    @pytest.mark.parametrize("form", KINDS)
    def test_a_form_of_several_files_cannot_be_printed(self, form):
        with pytest.raises(InputError, match=f"format '{form}' needs a folder: add -o DIR"):
            Printer(("md", form), print)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_file_is_no_folder_for_answers(tmp_path, dangling):
    path = tmp_path / "a.png"
    path.symlink_to(tmp_path / "nowhere") if dangling else path.write_bytes(b"")
    asked = ((), Options(), "nano", "cpu", "auto", path, ("md",), WISHES, None, None, 0, False)
    with pytest.raises(FileAccessError, match=r"a\.png: cannot be written \(it is no folder, and -o wants one\)"):
        Job(*asked).check()


def test_formats_are_named_once_in_any_order():
    assert parse_formats(" json, md,json") == ("json", "md")


@pytest.mark.parametrize("names", ["", "md,", "doc", "MD"])
def test_an_unknown_format_is_a_mistake(names):
    with pytest.raises(InputError, match=f"known: {', '.join([*TEXTS, *KINDS])}"):
        parse_formats(names)
