"""The page as a person has it: in a real browser, by mouse and by keyboard, at a desk and on a phone."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator

import pytest
from drawn_pages import inked
from PIL import Image
from pypdfium2 import PdfDocument

playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
expect = playwright.expect
expect.set_options(timeout=60_000)

TITLE = "<|ref|>title<|/ref|><|det|>[[100, 100, 900, 200]]<|/det|>\n# The Tides\n\n"
TEXT = "<|ref|>text<|/ref|><|det|>[[100, 300, 900, 500]]<|/det|>\nThe bay empties itself.\n\n"
PAGE = TITLE + TEXT
TABLE = "<table><tr><th>Month</th></tr><tr><td>May</td></tr></table>\n\n"
MATHS = "Where \\(h = \\frac{a}{b^2}\\) and \\[\\sum_{k=1}^{n} \\alpha_k \\unknown{x}\\]\n"
XSS = (
    '<script>window.caught = 1</script>\n\n<img src=x onerror="window.caught = 1">\n\n'
    "<|ref|><img src=x onerror='window.caught = 1'><|/ref|><|det|>[[1, 2, 300, 400]]<|/det|>\n"
    "[click](javascript:window.caught=1) <svg onload=window.caught=1> <iframe srcdoc='<script>1</script>'>\n"
    "<table><tr><td><img src=x onerror=window.caught=1></td></tr></table>\n"
    "\\(x^{<img src=x onerror=window.caught=1>}\\)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        try:
            browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error:
            pytest.skip("no Chromium here: `playwright install chromium`, or the system's own package")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser) -> Iterator[playwright.Page]:
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        yield tab


@pytest.fixture
def page(tab, address) -> Iterator[playwright.Page]:
    """The page, newly opened. No script of it may fail, and nothing may be there that its policy forbids."""
    faults: list[str] = []

    def note(line: playwright.ConsoleMessage) -> None:
        faults.extend([line.text] if "Content Security" in line.text else [])

    def fail(error: playwright.Error) -> None:
        faults.append(str(error))

    tab.on("console", note)
    tab.on("pageerror", fail)
    tab.set_viewport_size({"width": 1200, "height": 800})
    tab.goto(address)
    expect(tab.locator("#mode option")).to_have_count(6)
    tab.select_option("#mode", "tiny")
    yield tab
    tab.remove_listener("console", note)
    tab.remove_listener("pageerror", fail)
    assert faults == []


def picture(name: str = "tides.png") -> dict:
    buffer = io.BytesIO()
    inked((300, 400)).save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def pdf(pages: int) -> dict:
    buffer = io.BytesIO()
    images = [inked((150, 200)) for _ in range(pages)]
    images[0].save(buffer, "PDF", save_all=True, append_images=images[1:])
    return {"name": "long.pdf", "mimeType": "application/pdf", "buffer": buffer.getvalue()}


def read(page, file: dict, pages: str = "1 page") -> None:
    page.set_input_files("#file", file)
    expect(page.locator("#state")).to_have_text(pages)


class TestReading:
    def test_a_picture_appears_with_its_text_in_blocks_beside_it(self, page, says):
        says(PAGE)
        read(page, picture())
        expect(page.locator("#name")).to_have_text("tides.png")
        expect(page.locator(".frame img")).to_have_js_property("naturalWidth", 300)
        expect(page.locator(".block h1")).to_have_text("The Tides")
        assert page.locator(".block").count() == page.locator(".box").count() == 2
        frame, box = page.locator(".frame").bounding_box(), page.locator(".box").first.bounding_box()
        assert box["x"] - frame["x"] == pytest.approx(frame["width"] / 10, abs=3)

    def test_text_is_there_while_it_is_written(self, page, says, engine):
        says(PAGE, letters=2, until=len(PAGE) - 10)
        page.set_input_files("#file", picture())
        expect(page.locator("#state")).to_have_text("reading page 1")
        expect(page.locator(".block h1")).to_have_text("The Tides")
        expect(page.locator(".block.writing")).to_have_text("The bay empties")
        assert page.locator(".box").count() == 2
        engine.go_on()
        expect(page.locator("#state")).to_have_text("1 page")
        assert page.locator(".writing").count() == 0

    def test_pages_are_written_side_by_side(self, page, says, engine):
        says(PAGE, letters=2, until=len(PAGE) - 10)
        page.set_input_files("#file", pdf(2))
        expect(page.locator("#state")).to_have_text("reading page 1, page 2 of 2")
        for number in (1, 2):
            expect(page.locator(f"#page-{number} .block.writing")).to_have_text("The bay empties")
            expect(page.locator(f"#page-{number} .frame img")).to_have_js_property("naturalWidth", 300)
        engine.go_on()
        expect(page.locator("#state")).to_have_text("2 pages")

    def test_a_page_that_comes_late_stands_in_its_place(self, page, says, slow_to_draw):
        says(PAGE)
        slow_to_draw(1)
        read(page, pdf(3), "3 pages")
        assert page.locator(".page h2").all_text_contents() == ["Page 1", "Page 2", "Page 3"]
        stops = page.locator(".block").evaluate_all("blocks => blocks.map((block) => block.tabIndex)")
        assert stops == [0, -1, -1, -1, -1, -1]  # the first of the document, though it came last

    def test_forty_pages_come_one_below_the_other(self, page, says):
        says(PAGE)
        read(page, pdf(40), "40 pages")
        headings = page.locator(".page h2").all_text_contents()
        assert headings == [f"Page {number}" for number in range(1, 41)]
        assert page.locator(".page").last.locator("img[src]").count() == 0  # not fetched before it is near
        page.locator("#page-40").scroll_into_view_if_needed()
        expect(page.locator("#page-40 img")).to_have_js_property("naturalWidth", 300)

    def test_tables_and_simple_maths_are_set_and_other_maths_stays_as_it_is(self, page, says):
        says(TABLE + MATHS)
        read(page, picture())
        expect(page.locator(".block td")).to_have_text("May")
        assert page.locator("math mfrac msup").count() == 1
        expect(page.locator(".math.display.code")).to_have_text("\\sum_{k=1}^{n} \\alpha_k \\unknown{x}")

    @pytest.mark.parametrize(
        ("latex", "tags"),
        [
            ("x", "math mi"),
            ("-3.5", "math mo mn"),
            ("x_1^2", "math msubsup mi mn mn"),
            ("f'(x)", "math msup mi mo mo mi mo"),
            ("\\sqrt[3]{x}", "math mroot mi mrow mn"),
            ("\\text{if } x \\leq \\mathbb{R}", "math mtext mi mo mi"),
            ("\\left( \\frac12 \\right]", "math mrow mo mfrac mn mn mo"),
            ("\\begin{pmatrix} a & b \\\\ c \\end{pmatrix}", "math mrow mo mtable mtr mtd mi mtd mi mtr mtd mi mo"),
            *[(wrong, None) for wrong in ("\\unknown", "{x", "x}", "x^", "\\frac{a}", "a & b", "\\", "x^1^2")],
            *[(deep * 9000, None) for deep in ("{", "\\sqrt", "x_{", "\\left(", "\\begin{matrix}")],
        ],
    )
    def test_maths_is_set_whole_or_not_at_all(self, tab, address, latex, tags):
        if not tab.url.startswith(address):
            tab.goto(address)
        script = """async (latex) => {
            const math = (await import("/page/maths.js")).typeset(latex, false);
            return math && [math, ...math.querySelectorAll("*")].map((part) => part.localName).join(" ");
        }"""
        assert tab.evaluate(script, latex) == tags

    def test_a_figure_is_cut_from_the_picture(self, page, says):
        says("<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\n")
        read(page, picture())
        expect(page.locator(".block canvas")).to_have_js_property("width", 149)

    def test_a_page_that_did_not_end_well_says_so(self, page, says):
        says("half a", finish_reason="length")
        page.set_input_files("#file", picture())
        expect(page.locator(".ending.bad")).to_have_text("the limit of new tokens was reached")
        expect(page.locator("#state")).to_have_text("1 page, not all well: page 1")

    def test_it_can_be_stopped_and_read_again(self, page, says, engine):
        says("word " * 400, until=10)
        page.set_input_files("#file", picture())
        expect(page.locator(".block")).to_contain_text("word word")
        page.click("#stop")
        expect(page.locator("#state")).to_have_text("stopped")
        expect(page.locator(".ending")).to_have_text("broken off")
        says("whole")
        page.click("#again")
        expect(page.locator(".block")).to_have_text("whole")

    def test_what_is_asked_is_what_is_chosen(self, page, says, engine, reader):
        says("words")
        page.fill("#range", "2")
        page.select_option("#prompt", "locate")
        page.fill("#words", "Total")
        read(page, pdf(3))
        assert "Locate <|ref|>Total<|/ref|> in the image." in reader.tokenizer.decode(engine.asked.ids)
        expect(page.locator(".page h2")).to_have_text("Page 2")


class TestBringing:
    @pytest.mark.parametrize("event", ["drop", "paste"])
    def test_a_file_can_be_dropped_and_pasted(self, page, says, event):
        says("words")
        page.evaluate(
            """async ([kind, bytes]) => {
                const carried = new DataTransfer();
                carried.items.add(new File([new Uint8Array(bytes)], "brought.png", { type: "image/png" }));
                const what = { bubbles: true, cancelable: true };
                document.dispatchEvent(kind === "drop" ? new DragEvent(kind, { ...what, dataTransfer: carried })
                    : new ClipboardEvent(kind, { ...what, clipboardData: carried }));
            }""",
            [event, list(picture()["buffer"])],
        )
        expect(page.locator("#name")).to_have_text("brought.png")
        expect(page.locator(".block")).to_have_text("words")

    def test_a_file_that_is_no_document_is_refused_in_words(self, page):
        page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
        expect(page.get_by_role("alert")).to_contain_text("notes.txt: its content is in none of the known formats")

    def test_what_cannot_be_asked_is_refused_in_words(self, page):
        page.fill("#range", "3-1")
        page.set_input_files("#file", picture())
        expect(page.get_by_role("alert")).to_have_text("pages '3-1': '3-1' runs backwards; write 1-3")

    def test_a_server_with_a_key_is_told_it(self, page, locked, says):
        says("words")
        page.goto(locked)
        page.set_input_files("#file", picture())
        expect(page.get_by_role("alert")).to_contain_text("The server wants an API key")
        page.fill("#key", "secret")
        page.click("#again")
        expect(page.locator(".block")).to_have_text("words")
        expect(page.locator(".frame img")).to_have_js_property("naturalWidth", 300)


class TestBlocksAndBoxes:
    def test_a_block_lights_its_box_and_a_box_its_block(self, page, says):
        says(PAGE)
        read(page, picture())
        blocks, boxes = page.locator(".block"), page.locator(".box")
        blocks.nth(1).hover()
        expect(boxes.nth(1)).to_have_class("box lit")
        expect(boxes.nth(0)).to_have_class("box")
        boxes.nth(0).hover()
        expect(blocks.nth(0)).to_have_class("block lit")
        expect(blocks.nth(1)).to_have_class("block")

    def test_the_keyboard_leads_from_block_to_block_and_their_boxes_light_up(self, page, says):
        says(PAGE)
        read(page, pdf(2), "2 pages")
        page.locator("#download").focus()
        page.keyboard.press("Tab")
        blocks, boxes = page.locator(".block"), page.locator(".box")
        expect(blocks.nth(0)).to_be_focused()
        for _ in range(2):
            page.keyboard.press("ArrowDown")
        expect(blocks.nth(2)).to_be_focused()
        expect(boxes.nth(2)).to_have_class("box lit")
        page.keyboard.press("End")
        expect(blocks.nth(3)).to_be_focused()
        page.keyboard.press("Home")
        expect(boxes.nth(0)).to_have_class("box lit")

    def test_all_can_be_done_without_a_mouse(self, page, says):
        says(PAGE)

        # The browser lets choosers be caught only some time after it was asked to, and a key could be faster.
        def note(_: playwright.FileChooser) -> None:
            """Being there is enough."""

        page.on("filechooser", note)
        page.locator("#file").focus()
        expect(page.locator("#file")).to_be_focused()
        with page.expect_file_chooser() as chosen:
            page.keyboard.press("Enter")
        page.remove_listener("filechooser", note)
        chosen.value.set_files([picture()])
        expect(page.locator("#state")).to_have_text("1 page")
        page.locator("#form").focus()
        for key in ("Tab", "Tab"):
            page.keyboard.press(key)
        with page.expect_download():
            page.keyboard.press("Enter")

    def test_a_box_that_is_clicked_leads_to_its_block(self, page, says):
        says(PAGE)
        read(page, picture())
        page.locator(".box").nth(1).click()
        expect(page.locator(".block").nth(1)).to_be_focused()


class TestTakingAlong:
    @pytest.mark.parametrize(
        ("form", "begins"), [("md", b"# The Tides"), ("html", b"<!DOCTYPE html>"), ("json", b"{"), ("pdf", b"%PDF-")]
    )
    def test_every_form_can_be_saved(self, page, says, form, begins):
        says(PAGE)
        read(page, picture("the tides.png"))
        page.select_option("#form", form)
        with page.expect_download() as saved:
            page.click("#download")
        assert saved.value.suggested_filename == f"the tides.{form}"
        content = saved.value.path().read_bytes()
        assert content.startswith(begins)
        if form == "pdf":
            assert "empties" in PdfDocument(content)[0].get_textpage().get_text_bounded()

    def test_the_text_can_be_copied(self, page, says):
        says(PAGE)
        read(page, picture())
        page.click("#copy")
        expect(page.locator("#copy")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == "# The Tides\n\nThe bay empties itself.\n"


class TestSafety:
    def test_nothing_that_a_page_says_runs_or_is_fetched(self, page, says):
        says(XSS, letters=5)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        read(page, picture())
        page.locator(".block").last.hover()
        page.wait_for_timeout(300)
        assert page.evaluate("window.caught") is None
        assert page.locator(":is(.text, .boxes) :is(script, img, iframe, a, svg)").count() == 0
        expect(page.locator(".block").first).to_contain_text("<script>window.caught = 1</script>")
        assert all("/api/" in url or url.startswith("blob:") for url in asked)

    def test_the_page_takes_nothing_from_outside_and_no_script_in_its_text(self, http):
        answer = http.get("/")
        assert http.head("/").status_code == 200  # as who watches over servers asks
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in answer.text.replace("HTTP", "")

    def test_other_files_are_not_to_be_had(self, http):
        for path in ("/page/../site.py", "/page/%2e%2e%2fsite.py", "/page/none.js"):
            assert http.get(path).status_code in (404, 405)


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(page, says, width):
    page.set_viewport_size({"width": width, "height": 844})
    says(PAGE + "<table><tr>" + "<td>a long cell of words</td>" * 12 + "</tr></table>" + "x" * 500)
    read(page, picture())
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_on_a_phone_the_picture_stays_above_its_text(page, says):
    page.set_viewport_size({"width": 390, "height": 844})
    says("a line of text\n\n" * 60)
    read(page, picture())
    page.mouse.wheel(0, 900)
    expect(page.locator(".frame")).to_be_in_viewport(ratio=0.9)


def test_blank_pages_and_pictures_of_pages_are_told_apart(page, says):
    says("words")
    buffer = io.BytesIO()
    Image.new("RGB", (300, 400), "white").save(buffer, "PNG")
    read(page, {"name": "blank.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    expect(page.locator(".nothing")).to_have_text("there is nothing on this page")
