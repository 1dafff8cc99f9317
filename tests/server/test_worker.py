"""Chats and documents share one batch: nothing is lost or crossed, and what goes wrong with one costs no other."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import aclosing
from dataclasses import replace

import pytest
from drawn_pages import inked
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from running import encoded, wait_until, working

from dsocr import load, rescue
from dsocr.engine.engine import Engine
from dsocr.engine.loops import Loop, LoopWatch
from dsocr.engine.request import Sampling
from dsocr.engine.scheduler import Scheduler
from dsocr.engine.sequence import Sequence
from dsocr.errors import InputError
from dsocr.ocr import OCR, Options
from dsocr.prompts import PROMPTS
from dsocr.server.line import Line
from dsocr.server.opener import OpenFile
from dsocr.server.questions import LONGEST, ids_of
from dsocr.server.worker import Busy, OutOfTime, PageBegun, PageDone, PageText, ReaderFailed

FEW = Sampling(max_tokens=4)
SOME = Sampling(max_tokens=40)
LONG = Sampling(max_tokens=4000)
PAGE = inked()
TINY = Options("tiny", sampling=FEW)


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load(checkpoint, device="cpu")


@pytest.fixture
def ocr(loaded) -> OCR:
    return OCR(loaded.network, loaded.tokenizer, batch=4)


@pytest.fixture(scope="module")
def worker(loaded):
    """One for all tests, with an engine of its own."""
    with working(OCR(loaded.network, loaded.tokenizer, batch=4)) as worker:
        yield worker


def shade(number: int) -> Image.Image:
    return inked((80, 60), (60 * number % 256, 90 * number % 256, 0))


def tiff(count: int) -> bytes:
    first, *others = [shade(number) for number in range(count)]
    return encoded(first, "TIFF", save_all=True, append_images=others)


async def say(answer) -> str:
    async with aclosing(answer):
        return "".join([delta.text async for delta in answer])


async def told(worker, source, options=TINY, name="a.tiff") -> list:
    async with aclosing(worker.read(source, name, options)) as events:
        return [event async for event in events]


def transcripts(events) -> tuple:
    """In the pages' own order."""
    done = [event.transcript for event in events if isinstance(event, PageDone)]
    return tuple(sorted(done, key=lambda page: page.page))


def is_idle(worker) -> bool:
    return worker.ocr.engine.scheduler.idle and worker.line.here == worker.line.seated == 0


class TestChats:
    def test_an_answer_is_what_the_reader_says(self, worker, ocr):
        answer = worker.ask("document", (PAGE,), "tiny", SOME)
        assert asyncio.run(say(answer)) == ocr.ask("document", (PAGE,), "tiny", SOME).text
        assert (answer.stats.tokens_out, answer.stats.vision_tokens) == (40, 64)

    def test_many_at_once_each_say_what_they_say_alone(self, worker, ocr):
        async def all_at_once():
            return await asyncio.gather(*[say(worker.ask("ocr", (shade(n),), "tiny", SOME)) for n in range(8)])

        assert asyncio.run(all_at_once()) == [ocr.ask("ocr", (shade(n),), "tiny", SOME).text for n in range(8)]

    def test_a_file_is_opened_like_a_picture(self, worker):
        asked = [worker.ask("ocr", (image,), "tiny", SOME) for image in (PAGE, encoded(PAGE))]
        assert len({asyncio.run(say(answer)) for answer in asked}) == 1

    def test_several_images_stand_in_front_where_the_prompt_does_not_say_where(self, worker, ocr):
        images = shade(1), shade(2)
        said = asyncio.run(say(worker.ask("Compare.", images, "tiny", SOME)))
        assert said == ocr.ask("<image>\n<image>\nCompare.", images, "tiny", SOME).text

    @pytest.mark.parametrize(
        ("prompt", "images"),
        [("<image><image>x", (PAGE,)), ("document", ()), ("x" * (LONGEST + 1), ()), ("", (PAGE,)), ("x", (tiff(2),))],
    )
    def test_what_cannot_be_asked_is_a_mistake(self, worker, prompt, images):
        with pytest.raises(InputError):
            asyncio.run(say(worker.ask(prompt, images, "tiny", FEW)))
        assert is_idle(worker)

    def test_images_that_take_more_places_than_there_are_cost_no_work(self, worker, monkeypatch):
        monkeypatch.setattr("dsocr.server.worker.make_views", None)
        with pytest.raises(InputError, match="fewer images"):
            asyncio.run(say(worker.ask("x", (PAGE,) * 40, "base", FEW)))

    def test_one_that_is_closed_leaves_within_a_step(self, worker):
        async def leave():
            answer = worker.ask("ocr", (PAGE,), "tiny", LONG)
            await anext(answer)
            written = answer.stats.tokens_out
            await answer.aclose()
            await asyncio.to_thread(wait_until, lambda: is_idle(worker))
            return answer.stats.tokens_out - written

        assert asyncio.run(leave()) < 100

    def test_one_that_is_read_slowly_holds_up_nobody(self, ocr):
        ocr.batch = 1

        async def between():
            slow = worker.ask("ocr", (PAGE,), "tiny", SOME)
            first = await anext(slow)
            others = await asyncio.gather(*[say(worker.ask("ocr", (PAGE,), "tiny", SOME)) for _ in range(5)])
            return others, first.text + await say(slow)

        with working(ocr, queue=5) as worker:
            others, slow = asyncio.run(between())
        assert set(others) == {slow}

    def test_beyond_the_queue_one_is_told_to_come_back_and_later_let_in(self, ocr):
        async def crowd(worker):
            asked = [worker.ask("ocr", (PAGE,), "tiny", SOME) for _ in range(7)]
            said = await asyncio.gather(*map(say, asked), return_exceptions=True)
            assert await say(worker.ask("ocr", (PAGE,), "tiny", SOME))
            return said

        with working(ocr, queue=1) as worker:
            said = asyncio.run(crowd(worker))
        busy = [error for error in said if isinstance(error, Busy)]
        assert len(busy) == 2
        assert 1 <= busy[0].seconds <= 60

    def test_one_that_takes_too_long_ends_with_its_time(self, ocr):
        with working(ocr, seconds=0.3) as worker:
            with pytest.raises(OutOfTime):
                asyncio.run(say(worker.ask("ocr", (PAGE,), "tiny", LONG)))
            wait_until(lambda: is_idle(worker))

    def test_special_tokens_can_be_left_out_before_stop_texts_are_looked_for(self, worker, ocr):
        plain = Sampling(max_tokens=40, logprobs=True)
        ids = ocr.ask("ocr", (PAGE,), "tiny", plain).ids
        said = asyncio.run(say(worker.ask("ocr", (PAGE,), "tiny", Sampling(max_tokens=40, skip_special=True))))
        assert said == ocr.tokenizer.decode(ids, skip_special=True)


class TestDocuments:
    def test_every_page_is_what_the_reader_reads(self, worker, ocr):
        options = Options("tiny", sampling=SOME)
        assert (
            transcripts(asyncio.run(told(worker, tiff(6), options)))
            == ocr.read(tiff(6), "tiny", sampling=SOME).transcripts
        )

    def test_each_page_is_told_from_its_picture_to_its_end_beside_the_others(self, worker):
        events = asyncio.run(told(worker, tiff(6), Options("tiny", sampling=SOME)))
        numbers = [event.transcript.page if isinstance(event, PageDone) else event.number for event in events]
        assert numbers != sorted(numbers)
        assert [event.of for event in events if isinstance(event, PageBegun)] == [6] * 6
        for page in transcripts(events):
            own = [event for event, number in zip(events, numbers, strict=True) if number == page.page]
            assert isinstance(own[0], PageBegun)
            assert isinstance(own[-1], PageDone)
            assert "".join(event.text for event in own[1:-1]) == page.raw

    def test_only_the_pages_that_are_asked_for_are_read(self, worker):
        events = asyncio.run(told(worker, tiff(5), Options("tiny", pages="2,4-", sampling=FEW)))
        assert [page.page for page in transcripts(events)] == [2, 4, 5]

    def test_a_path_is_read_like_its_bytes(self, worker, tmp_path):
        (tmp_path / "secret").write_bytes(tiff(2))
        events = asyncio.run(told(worker, tmp_path / "secret"))
        assert transcripts(events) == transcripts(asyncio.run(told(worker, tiff(2))))

    def test_documents_and_chats_take_turns(self, worker, ocr):
        async def together():
            document = asyncio.ensure_future(told(worker, tiff(12), Options("tiny", sampling=SOME)))
            await asyncio.sleep(0.05)
            await say(worker.ask("ocr", (PAGE,), "tiny", FEW))
            early = not document.done()
            return early, await document

        early, events = asyncio.run(together())
        assert early
        assert len(transcripts(events)) == 12

    def test_a_damaged_page_among_good_ones_is_failed_and_keeps_its_number(self, worker):
        frames = bytearray(tiff(3))
        offset = int.from_bytes(frames[4:8], "little")
        second = int.from_bytes(frames[offset + 2 + 12 * frames[offset] :][:4], "little")
        entry = next(place for place in range(second + 2, len(frames), 12) if frames[place : place + 2] == b"\x00\x01")
        frames[entry + 8 : entry + 12] = (2).to_bytes(4, "little")  # too narrow to be read
        events = asyncio.run(told(worker, bytes(frames)))
        assert [page.status for page in transcripts(events)] == ["truncated", "failed", "truncated"]
        assert {event.number for event in events if isinstance(event, PageBegun)} == {1, 3}

    @pytest.mark.parametrize("content", [b"", b"words", b"%PDF-1.4 and no more", encoded(PAGE)[:-40], b"PK\x03\x04"])
    def test_a_file_that_cannot_be_read_is_a_mistake_in_one_line_that_names_it(self, worker, content, tmp_path):
        path = tmp_path / "stored"
        path.write_bytes(content)
        for source in (content, path):
            with pytest.raises(InputError) as caught:
                asyncio.run(told(worker, source, name="../their/a\nb.pdf"))
            assert str(caught.value).startswith("a\\nb.pdf: ")
            assert "stored" not in str(caught.value)
            assert is_idle(worker)

    def test_more_pages_than_allowed_are_refused_before_any_is_drawn(self, ocr, monkeypatch):
        monkeypatch.setattr("dsocr.server.opener.OpenFile.page", None)
        with working(ocr, max_pages=3) as worker, pytest.raises(InputError, match="limit of 3"):
            asyncio.run(told(worker, tiff(4)))

    def test_a_page_with_more_pixels_than_allowed_is_refused(self, ocr):
        with working(ocr, max_pixels=4000) as worker:
            with pytest.raises(InputError, match="limit of 4,000 pixels"):
                asyncio.run(told(worker, encoded(PAGE)))
            with pytest.raises(InputError, match="limit of 4,000 pixels"):
                asyncio.run(say(worker.ask("ocr", (encoded(PAGE),), "tiny", FEW)))

    def test_a_blank_page_is_not_shown_to_the_network(self, worker):
        (page,) = transcripts(asyncio.run(told(worker, encoded(Image.new("RGB", (80, 60), "white")))))
        assert (page.status, page.attempts) == ("blank", 0)

    def test_a_page_that_repeats_itself_is_rescued_as_the_reader_does_it(self, worker, ocr, monkeypatch):
        def feed(watch, text):
            watch.seen = getattr(watch, "seen", "") + text
            return Loop(5, "x", "phrase", 9) if len(watch.seen) > 20 else None

        monkeypatch.setattr(LoopWatch, "feed", feed)
        monkeypatch.setitem(rescue._OTHER, "tiny", "small")
        monkeypatch.setattr(rescue, "_SEEDS", ())
        expected = ocr.read(PAGE, "tiny", sampling=SOME).transcripts
        assert expected[0].attempts > 2
        assert transcripts(asyncio.run(told(worker, encoded(PAGE), Options("tiny", sampling=SOME)))) == expected

    def test_a_page_that_the_network_is_unsure_of_is_read_again_as_the_reader_does_it(self, worker, ocr):
        sampling = replace(SOME, stop=tuple(ocr.read(PAGE, "tiny", sampling=SOME).transcripts[0].raw[-3:]))
        (expected,) = ocr.read(PAGE, "tiny", sampling=sampling).transcripts
        assert (expected.status, expected.attempts) == ("ok", 4)
        (page,) = transcripts(asyncio.run(told(worker, encoded(PAGE), Options("tiny", sampling=sampling))))
        assert page == expected
        assert page.confidence == pytest.approx(expected.confidence, rel=1e-4)
        kept = Options("tiny", sampling=sampling, unsure="keep")
        assert transcripts(asyncio.run(told(worker, encoded(PAGE), kept)))[0].attempts == 1

    def test_a_page_on_its_side_is_turned_as_the_reader_does_it(self, worker, ocr, monkeypatch):
        monkeypatch.setattr("dsocr.server.sheets.looks_turned", lambda _: True)
        monkeypatch.setattr("dsocr.reading.looks_turned", lambda _: True)
        expected = ocr.read(PAGE, "tiny", sampling=FEW, rotate="auto").transcripts
        options = Options("tiny", sampling=FEW, rotate="auto")
        assert transcripts(asyncio.run(told(worker, encoded(PAGE), options))) == expected

    def test_one_that_is_closed_leaves_within_a_step(self, worker):
        async def leave():
            events = worker.read(tiff(9), "a.tiff", Options("tiny", sampling=LONG))
            while not isinstance(await anext(events), PageText):
                pass
            await events.aclose()
            await asyncio.to_thread(wait_until, lambda: is_idle(worker))

        began = time.monotonic()
        asyncio.run(leave())
        assert time.monotonic() - began < 10

    def test_one_that_is_read_slowly_has_few_pages_read_ahead(self, worker, monkeypatch):
        drawn, draw = [], OpenFile.page

        async def count(file, number):
            drawn.append(number)
            return await draw(file, number)

        async def slowly():
            async with aclosing(worker.read(tiff(30), "a.tiff", TINY)) as events:
                await anext(events)
                while worker.line.seated:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
                return len(drawn)

        monkeypatch.setattr(OpenFile, "page", count)
        assert asyncio.run(slowly()) == worker.line.seats

    def test_one_that_takes_too_long_ends_with_its_time(self, ocr):
        with working(ocr, seconds=0.5) as worker:
            with pytest.raises(OutOfTime):
                asyncio.run(told(worker, tiff(9), Options("tiny", sampling=LONG)))
            wait_until(lambda: is_idle(worker))


class TestFailures:
    @pytest.fixture
    def worker(self, loaded):
        """One that has nothing left to do from before."""
        with working(OCR(loaded.network, loaded.tokenizer, batch=4)) as worker:
            yield worker

    @pytest.fixture
    def fails_for_seed_666(self, monkeypatch):
        write = Sequence.write

        def fail(sequence, index, logprob=None):
            if sequence._sampling.seed == 666:
                raise ValueError("secret of the engine")
            write(sequence, index, logprob)

        monkeypatch.setattr(Sequence, "write", fail)

    def test_one_request_that_fails_costs_no_other(self, worker, ocr, fails_for_seed_666):
        async def together():
            good = [say(worker.ask("ocr", (PAGE,), "tiny", SOME)) for _ in range(3)]
            bad = say(worker.ask("ocr", (PAGE,), "tiny", Sampling(seed=666)))
            return await asyncio.gather(*good, bad, return_exceptions=True)

        *good, bad = asyncio.run(together())
        assert set(good) == {ocr.ask("ocr", (PAGE,), "tiny", SOME).text}
        assert isinstance(bad, ReaderFailed)
        assert "secret" not in str(bad)

    def test_a_page_that_fails_is_failed_in_general_words(self, worker, fails_for_seed_666):
        options = Options("tiny", sampling=Sampling(max_tokens=4, seed=666))
        pages = transcripts(asyncio.run(told(worker, tiff(2), options)))
        assert [page.status for page in pages] == ["failed", "failed"]
        assert "secret" not in pages[0].reason

    def test_an_engine_that_fails_starts_anew(self, worker, ocr, monkeypatch):
        def fail(scheduler):
            monkeypatch.undo()
            raise ZeroDivisionError

        monkeypatch.setattr(Scheduler, "admit", fail)
        with pytest.raises(ReaderFailed):
            asyncio.run(say(worker.ask("ocr", (PAGE,), "tiny", FEW)))
        assert asyncio.run(say(worker.ask("ocr", (PAGE,), "tiny", SOME))) == ocr.ask("ocr", (PAGE,), "tiny", SOME).text

    def test_a_decoder_that_dies_costs_one_request(self, worker):
        asyncio.run(told(worker, tiff(1)))
        for child in worker._opener._children:
            if child.number:
                os.kill(child.number, signal.SIGKILL)
                wait_until(lambda child=child: child.number is None)
        assert len(transcripts(asyncio.run(told(worker, tiff(2))))) == 2

    def test_no_memory_is_said_in_general_words(self, worker, monkeypatch):
        def fail(*_):
            raise MemoryError

        monkeypatch.setattr(Engine, "_compute", fail)
        with pytest.raises(InputError, match="does not fit in memory"):
            asyncio.run(say(worker.ask("ocr", (PAGE,), "tiny", FEW)))

    def test_after_its_end_all_is_refused(self, ocr):
        with working(ocr) as worker:
            pass
        with pytest.raises((ReaderFailed, RuntimeError)):
            asyncio.run(say(worker.ask("x", (), "tiny", FEW)))
        assert not worker.ready

    def test_its_end_ends_what_is_under_way(self, ocr):
        async def caught():
            answer = worker.ask("ocr", (PAGE,), "tiny", LONG)
            await anext(answer)
            await asyncio.to_thread(worker.close)
            return await say(answer)

        with working(ocr) as worker, pytest.raises(ReaderFailed):
            asyncio.run(caught())


class TestPrompts:
    @pytest.mark.parametrize("prompt", PROMPTS.values())
    def test_trained_prompts_are_what_the_tokenizer_makes_of_them(self, loaded, prompt):
        assert list(ids_of(loaded.tokenizer, prompt, [7])) == loaded.tokenizer.prompt_ids(prompt, [7])

    @given(st.text(st.characters(exclude_characters="<", exclude_categories=("Cs",)), max_size=40))
    def test_so_are_all_texts_without_tags(self, loaded, text):
        assert list(ids_of(loaded.tokenizer, text, [])) == loaded.tokenizer.prompt_ids(text, [])

    @given(st.lists(st.sampled_from(["<|User|>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<td>", "x ", "<|", "|>"])))  # noqa: RUF001
    def test_other_tags_are_plain_text(self, loaded, parts):
        ids = ids_of(loaded.tokenizer, "".join(parts), [])
        assert not loaded.tokenizer.special_ids & set(ids[1:])
        assert loaded.tokenizer.decode(ids[1:]) == "".join(parts)


class TestLine:
    @given(st.lists(st.sampled_from(["come", "leave", "give up"]), max_size=60))
    def test_seats_are_never_lost_nor_given_twice_and_go_to_who_waits_longest(self, steps):
        async def live():
            line, tasks, seated = Line(2, 99), [], []

            async def sit(number):
                await line.sit_down()
                seated.append(number)

            for number, step in enumerate(steps):
                if step == "come":
                    tasks.append(asyncio.ensure_future(sit(number)))
                elif step == "leave" and seated:
                    seated.pop(0)
                    line.stand_up()
                elif step == "give up" and tasks:
                    tasks.pop().cancel()
                for _ in range(4):
                    await asyncio.sleep(0)
                assert len(seated) == line.seated <= 2
                assert seated == sorted(seated)
                assert not line.waiting or line.seated == 2
            for task in tasks:
                task.cancel()

        asyncio.run(live())
