"""Pages on their way: opened ahead, several read at once, delivered in order, and each costs only itself."""

from __future__ import annotations

import gc
import io
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_pages import inked
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import dsocr
from dsocr import InputError, Options, Page, Sampling, cli, load
from dsocr.engine.engine import Engine
from dsocr.ocr import OCR
from dsocr.pages import MODES, BrokenPage
from dsocr.pages.sideways import looks_sideways
from dsocr.pages.tiling import make_views
from dsocr.reading import OPENED_AHEAD, tokens_on_page

FEW = Options("tiny", sampling=Sampling(max_tokens=6))


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load(checkpoint)


@pytest.fixture
def ocr(loaded) -> OCR:
    return OCR(loaded.network, loaded.tokenizer, batch=3)


def tiff(count: int) -> bytes:
    """Pages that are told apart by a line at another height."""
    frames = [inked() for _ in range(count)]
    for number, frame in enumerate(frames):
        ImageDraw.Draw(frame).line((0, 5 * number, 80, 5 * number), fill="black", width=4)
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.fixture
def opened(monkeypatch) -> list[int]:
    """The numbers of the pages that were opened so far."""
    numbers: list[int] = []

    def spy(*arguments, **options):
        for page in dsocr.open_pages(*arguments, **options):
            numbers.append(page.number)
            yield page

    monkeypatch.setattr("dsocr.ocr.open_pages", spy)
    return numbers


def openers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dsocr-opener"]


def soon(holds) -> bool:
    """Whether something comes true within a while."""
    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_pages_read_together_are_those_read_one_after_another_and_in_order(loaded, ocr):
    alone = OCR(loaded.network, loaded.tokenizer, batch=1)
    together, one_by_one = (
        [(page.page, page.raw, page.status) for page in reader.read(tiff(9), "tiny", sampling=FEW.sampling).transcripts]
        for reader in (ocr, alone)
    )
    assert together == one_by_one
    assert [number for number, _, _ in together] == list(range(1, 10))


def test_later_pages_are_read_on_while_the_first_is_taken(ocr):
    readings = ocr.readings(tiff(4), Options("tiny", sampling=Sampling(max_tokens=1500)))
    first = next(readings)
    most = 0
    for _ in first:
        most = max(most, len(ocr.engine.scheduler.running))
    assert most == 3
    second = next(readings)
    assert second.stats.tokens_out > 0
    assert second.page.number == 2


def test_no_more_pages_are_open_than_are_read_and_two(ocr, opened):
    for reading in ocr.readings(tiff(12), FEW):
        for _ in reading:
            assert max(opened) <= reading.page.number + 4 * ocr.batch + OPENED_AHEAD + 1
    assert opened == list(range(1, 13))


def test_pages_wait_opened_until_there_is_room(loaded, opened):
    ocr = OCR(loaded.network, loaded.tokenizer, batch=1)
    readings = ocr.readings(tiff(6), FEW)
    next(readings)
    assert soon(lambda: len(opened) == 1 + OPENED_AHEAD)
    time.sleep(0.1)
    assert opened == [1, 2, 3]
    readings.close()


def test_finished_pages_that_nobody_asks_for_are_few(loaded):
    ocr = OCR(loaded.network, loaded.tokenizer, batch=1)
    readings = ocr.readings(tiff(9), Options("tiny", sampling=Sampling(max_tokens=60)))
    first = next(readings)
    other = OCR(loaded.network, loaded.tokenizer, batch=1).read(tiff(1), "tiny", sampling=FEW.sampling)
    assert other.transcripts[0].page == 1
    assert len(first.transcript().raw) > 0
    assert sum(1 for _ in readings) == 8


def test_readings_closed_early_cancel_what_is_on_its_way(ocr):
    readings = ocr.readings(tiff(8), Options("tiny", sampling=Sampling(max_tokens=500)))
    reading = next(readings)
    next(iter(reading))
    readings.close()
    assert len(reading.transcript().raw) > 0  # it was given away
    assert not ocr.engine.step()
    assert ocr.engine.pool.free == ocr.engine.pool.blocks
    assert soon(lambda: not openers())


def test_a_stream_left_early_leaves_nothing_behind(ocr):
    deltas = ocr.stream(tiff(8), "tiny", sampling=Sampling(max_tokens=500))
    next(deltas)
    deltas.close()
    del deltas
    gc.collect()
    assert not ocr.engine.step()
    assert ocr.engine.pool.free == ocr.engine.pool.blocks


def test_readings_that_are_all_asked_for_first_can_be_read_in_any_order(ocr):
    readings = list(ocr.readings(tiff(5), FEW))
    backwards = [reading.transcript() for reading in reversed(readings)]
    assert tuple(reversed(backwards)) == ocr.read(tiff(5), "tiny", sampling=FEW.sampling).transcripts


def test_a_page_that_cannot_be_encoded_costs_only_itself(ocr, monkeypatch):
    encode, third = ocr.network.encode_many, list(dsocr.open_pages(tiff(3)))[2]
    lost = make_views(third.image, MODES["tiny"]).overview

    def fail(pages):
        if any(views.overview.equal(lost) for views in pages):
            raise MemoryError
        return encode(pages)

    monkeypatch.setattr(ocr.network, "encode_many", fail)
    pages = ocr.read(tiff(5), "tiny", sampling=FEW.sampling).transcripts
    assert [(page.page, page.status == "failed") for page in pages] == [(n, n == 3) for n in range(1, 6)]
    assert "choose a smaller mode" in pages[2].reason


def test_a_page_whose_views_do_not_fit_in_memory_costs_only_itself(ocr, monkeypatch):
    def fail(image, mode):
        if image.getpixel((0, 5)) == (0, 0, 0):
            raise MemoryError
        return make_views(image, mode)

    monkeypatch.setattr("dsocr.reading.make_views", fail)
    pages = ocr.read(tiff(3), "tiny", sampling=FEW.sampling).transcripts
    assert [(page.page, page.status == "failed") for page in pages] == [(1, False), (2, True), (3, False)]


def test_a_file_that_breaks_off_ends_after_the_pages_before(ocr, monkeypatch):
    def pages(*_, **__):
        yield from list(dsocr.open_pages(tiff(4)))[:3]
        raise InputError("gone")

    monkeypatch.setattr("dsocr.ocr.open_pages", pages)
    readings = ocr.readings(b"", FEW)
    assert [next(readings).transcript().page for _ in range(3)] == [1, 2, 3]
    with pytest.raises(InputError, match="gone"):
        next(readings)


def test_pages_are_opened_by_one_thread_that_is_not_the_readers(ocr, monkeypatch):
    threads = set()

    def spy(*arguments, **options):
        for page in dsocr.open_pages(*arguments, **options):
            threads.add(threading.current_thread())
            yield page

    monkeypatch.setattr("dsocr.ocr.open_pages", spy)
    ocr.read(tiff(3), "tiny", sampling=FEW.sampling)
    assert len(threads) == 1
    assert threading.current_thread() not in threads


# What the published code printed for pages of these sizes.
@pytest.mark.parametrize(
    ("size", "mode", "tokens"),
    [
        ((1000, 1400), "base", 182),
        ((1000, 1400), "large", 285),
        ((1000, 1400), "gundam", 782),
        ((1240, 1754), "gundam", 780),
        ((1920, 1080), "gundam", 944),
        ((1000, 1400), "tiny", 64),
        ((1000, 1400), "small", 100),
    ],
)
def test_the_vision_tokens_of_a_page_are_counted_as_the_published_code_counts_them(size, mode, tokens):
    assert tokens_on_page(size, make_views(Image.new("RGB", size), MODES[mode]).layout, MODES[mode]) == tokens


def test_a_reading_tells_what_its_page_took(ocr):
    (reading,) = ocr.readings(tiff(1), Options("base", sampling=Sampling(max_tokens=6, ngram_rule="none")))
    reading.transcript()
    stats = reading.stats
    assert stats.prompt_places > 256
    assert stats.vision_tokens == 256 * 60 // 80
    assert stats.tokens_out == 6
    assert stats.compression == 6 / 192
    assert min(stats.render_seconds, stats.encode_seconds, stats.prefill_seconds, stats.decode_seconds) > 0


def test_an_answer_about_a_picture_has_the_same_figures(ocr):
    assert ocr.ask("What?", (Image.new("RGB", (80, 60)),), "base", FEW.sampling).stats.vision_tokens == 192


def test_a_broken_page_took_nothing_but_its_opening():
    reading = dsocr.Reading(BrokenPage("a.pdf", 1, "damaged"), iter(()), render_seconds=2.0)
    assert reading.over
    assert (reading.stats.tokens_out, reading.stats.render_seconds, reading.stats.tokens_per_second) == (0, 2.0, 0)


def test_batch_and_memory_reach_the_engine(checkpoint):
    ocr = load(checkpoint, batch=2, memory="1M")
    assert isinstance(ocr.engine, Engine)
    assert ocr.engine.pool.blocks == 2**20 // (2 * 3 * 64 * 4 * 12 * 4)
    assert load(checkpoint, memory=10**5).engine.pool.blocks == 1


@pytest.mark.parametrize("wrong", ["", "much", "4X", "-1G", "0", "0.0001K", "1e9", "nan"])
def test_a_memory_that_is_no_size_is_one_line(wrong):
    with pytest.raises(InputError, match=r"write, for example, 500M or 4G"):
        load("nonsense", memory=wrong)


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 2**32), ("500M", 500 * 2**20), ("1.5 gb", 3 * 2**29), ("70000", 70000)]
)
def test_a_memory_is_read_in_steps_of_1024(text, size):
    assert dsocr.engine.kv_cache.parse_bytes(text) == size


class TestCommand:
    def says(self, checkpoint, tmp_path, *options):
        (tmp_path / "a.tif").write_bytes(tiff(2))
        words = ["read", "--model", checkpoint, "--mode", "tiny", "--max-tokens", "4", tmp_path / "a.tif", *options]
        return CliRunner().invoke(cli.app, [str(word) for word in words])

    def test_stats_are_one_aligned_line_a_page_on_stderr(self, checkpoint, tmp_path):
        result = self.says(checkpoint, tmp_path, "--stats", "-q")
        lines = result.stderr.splitlines()
        assert [line.split()[-1] for line in lines] == ["1", "2"]
        assert all(line.startswith("dsocr: stats: ") for line in lines)
        assert len({line.index("tokens/s") for line in lines}) == 1
        assert "   64 vision tokens     4 tokens out   0.06 to 1" in lines[0]
        assert "vision tokens" not in self.says(checkpoint, tmp_path).stderr

    def test_a_batch_of_one_writes_the_same(self, checkpoint, tmp_path):
        assert self.says(checkpoint, tmp_path, "--batch", "1").stdout == self.says(checkpoint, tmp_path).stdout != ""

    @pytest.mark.parametrize(("option", "way_out"), [("--batch=0", "1 or more"), ("--memory=much", "500M or 4G")])
    def test_rubbish_is_one_line(self, checkpoint, tmp_path, option, way_out):
        result = self.says(checkpoint, tmp_path, option)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert way_out in result.stderr

    def test_a_page_that_the_memory_can_never_hold_says_what_to_raise(self, checkpoint, tmp_path):
        result = self.says(checkpoint, tmp_path, "--memory", "80K")
        assert result.exit_code == 10
        assert result.stderr.count("raise --memory") == 2


@pytest.fixture
def stammer(monkeypatch, loaded):
    """The network says "abc" again and again, but ends at once the texts that `spared` names by their prompt's ids."""
    step, tokenizer = loaded.network.step, loaded.tokenizer
    letters = tokenizer.encode("abc", allow_special=False)
    spared: list[int] = []

    def said(x, batch, wanted):
        logits = step(x, batch, wanted)
        for row, place in zip(logits, wanted, strict=True):
            end, begins = int(batch.positions[place]) + 1, len(batch.positions) > 1
            row[tokenizer.eos] = -1e6
            row[tokenizer.eos if begins and end in spared else letters[end % 3]] = 1e6
        return logits

    monkeypatch.setattr(loaded.network, "step", said)
    monkeypatch.setattr("dsocr.engine.loops.ENOUGH", 90)  # noticed sooner, and no other than in earnest
    return spared


LONG = Sampling(max_tokens=1500, ngram_rule="none")


class TestLoops:
    def test_a_page_that_repeats_itself_is_read_again_in_other_ways_and_says_how_often(self, ocr, stammer):
        [page] = ocr.read(inked(), "tiny", sampling=LONG).transcripts
        assert (page.status, page.attempts) == ("looped", 5)
        assert "in vain" in page.reason
        assert len(page.raw) < 100

    def test_a_page_that_is_rescued_says_how(self, ocr, stammer):
        places = len(ocr.views(inked(), "base").layout)
        stammer.append(
            len(ocr.tokenizer.prompt_ids("<image>\n<|grounding|>Convert the document to markdown.", [places]))
        )
        [page] = ocr.read(inked(), "tiny", sampling=LONG).transcripts
        assert (page.status, page.attempts, page.raw) == ("looped", 3, "")
        assert page.reason.endswith("read again in mode base")

    def test_loops_can_be_kept_or_only_stopped(self, ocr, stammer):
        texts = {
            loops: next(iter(ocr.readings(inked(), Options("tiny", sampling=LONG, loops=loops)))).transcript()
            for loops in ("keep", "stop")
        }
        assert (texts["keep"].status, len(texts["keep"].raw)) == ("truncated", 1500)
        assert (texts["stop"].status, texts["stop"].attempts) == ("looped", 1)

    def test_the_deltas_of_a_page_that_repeats_itself_end_with_the_loop(self, ocr, stammer):
        deltas = list(ocr.stream(inked(), "tiny", sampling=LONG))
        assert deltas[-1].finish_reason == "loop"

    def test_several_pages_that_repeat_themselves_are_all_read_again(self, ocr, stammer):
        pages = ocr.read(tiff(2), "tiny", sampling=LONG).transcripts
        assert [page.attempts for page in pages] == [5, 5]

    def test_a_word_that_is_no_way_is_a_mistake(self):
        with pytest.raises(InputError, match="loops 'mend' is unknown; known: rescue, stop, keep"):
            Options(loops="mend").check()


class TestBlank:
    def test_a_blank_page_is_not_shown_to_the_network(self, ocr, monkeypatch):
        monkeypatch.setattr(ocr.network, "step", None)
        [page] = ocr.read(Image.new("RGB", (200, 300), "white")).transcripts
        assert (page.status, page.raw) == ("blank", "")

    def test_a_blank_page_is_read_like_others_where_that_is_asked_for(self, ocr):
        [reading] = ocr.readings(
            Image.new("RGB", (80, 60), "white"), Options("tiny", sampling=FEW.sampling, skip_blank=False)
        )
        assert reading.transcript().status == "truncated"


class TestTurning:
    """Which way up a page is, with the smallest network that reads."""

    NOTE = Path(__file__).parent / "golden" / "nano" / "008.png"
    SHORT = Sampling(max_tokens=12)

    @pytest.fixture(scope="class")
    def nano(self) -> OCR:
        return load("nano")

    @pytest.fixture(scope="class")
    def note(self) -> Image.Image:
        with Image.open(self.NOTE) as image:
            return image.convert("RGB")

    @pytest.fixture(scope="class")
    def upright(self, nano, note):
        return nano.read(note, sampling=self.SHORT, rotate="auto").transcripts[0]

    def test_a_page_that_stands_is_read_as_it_is(self, upright):
        assert (upright.rotated, upright.raw.split()[:2]) == (0, ["has", "a"])

    def test_a_page_that_lies_on_its_side_is_turned_and_reads_as_if_it_stood(self, nano, note, upright):
        lying = Page("note.png", 1, note).turned(90).image
        page = nano.read(lying, sampling=self.SHORT, rotate="auto").transcripts[0]
        assert (page.rotated, page.raw, page.width, page.height) == (270, upright.raw, *note.size)
        assert page.image.tobytes() == note.tobytes()

    def test_a_page_that_stands_on_its_head_is_turned_round(self, nano, note, upright):
        page = nano.read(note.rotate(180), sampling=self.SHORT, rotate="auto").transcripts[0]
        assert (page.rotated, page.raw) == (180, upright.raw)

    def test_rules_that_look_like_lines_of_print_turn_no_page(self, nano, note):
        table = note.copy()
        for left in range(10, note.width, 40):
            ImageDraw.Draw(table).line((left, 0, left, note.height), fill="black", width=3)
        assert looks_sideways(table)
        assert nano.read(table, sampling=self.SHORT, rotate="auto").transcripts[0].rotated == 0

    @pytest.mark.parametrize("shape", [(2400, 400), (1200, 300), (400, 2400)])
    def test_wide_and_long_pages_are_not_even_tried(self, shape, monkeypatch, ocr):
        page = Image.new("RGB", shape, "white")
        for top in range(30, shape[1] - 30, 40):
            ImageDraw.Draw(page).text((30, top), "Words upon words in one line. " * (shape[0] // 220), "black")
        monkeypatch.setattr(OCR, "_find_turn", lambda *_: pytest.fail("tried"))
        assert ocr.read(page, "tiny", sampling=FEW.sampling, rotate="auto").transcripts[0].rotated == 0

    @pytest.mark.parametrize("turn", [90, 180, 270])
    def test_every_page_is_turned_as_it_was_asked_for(self, ocr, turn):
        pages = ocr.read(tiff(2), "tiny", sampling=FEW.sampling, rotate=turn).transcripts
        assert [(page.rotated, page.image.size) for page in pages] == [(turn, (60, 80) if turn % 180 else (80, 60))] * 2

    @pytest.mark.parametrize("rotate", [45, "left", None])
    def test_what_is_no_quarter_turn_is_refused(self, rotate):
        with pytest.raises(InputError, match="no turn; known: auto, 0, 90, 180, 270"):
            Options(rotate=rotate).check()


class TestLaziness:
    def test_a_network_is_got_when_the_first_page_needs_it_and_only_once(self, loaded):
        got = []
        reader = OCR(lambda: got.append(1) or loaded.network, loaded.tokenizer)
        readings = reader.readings(tiff(2), FEW)
        assert got == []
        assert len(list(readings)) == 2
        assert got == [1]

    def test_blank_and_broken_pages_need_none(self, loaded, make_pdf):
        reader = OCR(lambda: pytest.fail("loaded"), loaded.tokenizer)
        pages = reader.read(make_pdf(["", None]), "tiny").transcripts
        assert [page.status for page in pages] == ["blank", "failed"]

    def test_a_network_that_cannot_be_had_is_the_mistake_of_no_page(self, loaded):
        def fail():
            raise InputError("too large")

        with pytest.raises(InputError, match="too large"):
            list(OCR(fail, loaded.tokenizer).readings(tiff(2), FEW))


@pytest.mark.parametrize(
    "error", [MemoryError(), InputError("it does not fit"), RuntimeError("cannot allocate memory")]
)
def test_a_page_that_cannot_be_read_again_is_what_it_was_read_as(ocr, monkeypatch, error):
    """The micro network is never sure; a stop text ends its page as if it had done so itself."""
    (first,) = ocr.readings(inked(), replace(FEW, unsure="keep"))
    once = first.transcript()
    stopped = replace(FEW, sampling=replace(FEW.sampling, stop=(once.raw[-1:],)))
    (kept,) = (reading.transcript() for reading in ocr.readings(inked(), replace(stopped, unsure="keep")))
    assert (kept.status, kept.attempts) == ("ok", 1)

    def fail(*_):
        raise error

    monkeypatch.setattr(OCR, "_try_again", fail)
    (page,) = (reading.transcript() for reading in ocr.readings(inked(), stopped))
    assert (page.status, page.raw, page.reason, page.attempts) == ("ok", kept.raw, None, 1)


def test_pages_that_are_all_to_be_read_again_are_so_one_after_another(loaded, monkeypatch):
    ocr, again, attempt = OCR(loaded.network, loaded.tokenizer, batch=32), [], OCR._try_again
    (first,) = ocr.readings(inked(), replace(FEW, unsure="keep"))
    stopped = replace(FEW, sampling=replace(FEW.sampling, stop=(first.transcript().raw[-1:],)))

    def count(self, *asked):
        again.append(asked)
        return attempt(self, *asked)

    monkeypatch.setattr(OCR, "_try_again", count)
    for number, reading in enumerate(ocr.readings(tiff(24), stopped), start=1):
        page = reading.transcript()
        # The stop text is missing on some pages, whose six tokens are then too few.
        assert (page.page, page.status, page.attempts) in ((number, "ok", 4), (number, "truncated", 1))
        assert len(again) <= 3 * number
    assert len(again) > 12


def test_a_stream_tells_what_is_read_first(ocr):
    (first,) = ocr.readings(inked(), replace(FEW, unsure="keep"))
    raw = first.transcript().raw
    sampling = replace(FEW.sampling, stop=(raw[-1:],))
    assert "".join(delta.text for delta in ocr.stream(inked(), "tiny", sampling=sampling)) == raw[: raw.index(raw[-1:])]
