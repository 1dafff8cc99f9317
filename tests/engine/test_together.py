"""Many requests at once: whoever comes, leaves or is put back, each reads what it reads alone, and no block is lost."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace
from functools import cache
from importlib.resources import files

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from micro import IMAGE, PAGE, load_micro

from dsocr.engine.engine import Engine
from dsocr.engine.kv_cache import BLOCK, block_bytes
from dsocr.engine.request import Request, Sampling
from dsocr.errors import InputError
from dsocr.model.tokenizer import Tokenizer
from dsocr.pages import get_mode
from dsocr.pages.tiling import make_views

NETWORK = load_micro()
TOKENIZER = Tokenizer(str(files("dsocr") / "nano" / "tokenizer.json"))
CONFIG = NETWORK.config.decoder
BYTES = block_bytes(CONFIG.layers, CONFIG.kv_heads, CONFIG.head_dim, torch.float32)
WIDE = PAGE.resize((700, 400))  # two tiles
MODES = ("text", "tiny", "small", "gundam")
FREE = Sampling(max_tokens=12, ngram_rule="none")


@cache
def views_of(mode):
    return (make_views(WIDE, get_mode(mode)),) if mode != "text" else ()


def request(mode="text", sampling=FREE, words="Free OCR.", hints=()):
    views = views_of(mode)
    ids = TOKENIZER.prompt_ids("<image>\n" * len(views) + words, [len(view.layout) for view in views])
    return Request(
        tuple(ids[:1] + [IMAGE if index == TOKENIZER.image else index for index in ids[1:]]), views, sampling, hints
    )


def engine(blocks=64, **options):
    return Engine(NETWORK, TOKENIZER, memory=blocks * BYTES, **options)


@cache
def alone(mode, sampling, words, blocks):
    generation = engine(blocks, batch=1).generate(request(mode, sampling, words))
    return generation.ids, generation.text, generation.finish_reason


def hints_of(kind, asked, blocks):
    """What is to be looked up: the very answer, the answer with a slip in every seventh place, or something else."""
    ids = alone(*asked, blocks)[0] if kind in ("right", "nearly") else (1, 2, 3) * 9
    slips = tuple(7 if kind == "nearly" and place % 7 == 6 else index for place, index in enumerate(ids))
    return () if kind == "none" else (slips,)


def taken(stream):
    deltas = list(stream)
    ids = tuple(index for delta in deltas for index in delta.ids)
    return ids, "".join(delta.text for delta in deltas), deltas[-1].finish_reason


def held(running):
    return [block for sequence in running.scheduler.running for block in sequence.blocks]


SAMPLINGS = st.builds(
    Sampling,
    max_tokens=st.sampled_from([1, 8, 20, None]),
    temperature=st.sampled_from([0.0, 0.0, 1.5]),
    seed=st.integers(0, 2),
    ngram_rule=st.sampled_from(["none", "windowed", "huggingface"]),
    ngram_size=st.sampled_from([2, 3]),
    stop=st.sampled_from([(), ("(((",), ("x",)]),
    stop_loops=st.booleans(),
)


class Together(RuleBasedStateMachine):
    """A small pool, so that prompts wait and long texts are put back, and a small chunk, so that prompts take steps."""

    def __init__(self):
        super().__init__()
        self.blocks, self.streams = 9, []
        self.engine = engine(self.blocks, batch=4, prefill_chunk=40)

    @initialize(sampling=SAMPLINGS)
    def fill(self, sampling):
        """Four texts that fill the pool and soon need more."""
        self.submit("tiny", replace(sampling, max_tokens=20), full=True, copies=4)

    @rule(
        mode=st.sampled_from(MODES),
        sampling=SAMPLINGS,
        full=st.booleans(),
        copies=st.integers(1, 2),
        hint=st.sampled_from(["none", "right", "nearly", "wrong"]),
    )
    def submit(self, mode, sampling, full, copies, hint="none"):
        if sampling.max_tokens is None and mode != "gundam":  # which alone nearly fills the pool
            sampling = replace(sampling, max_tokens=30)
        # A prompt that nearly fills its last block, so that a few tokens more need another.
        words = "x" * ((58 - len(request(mode, words="").ids)) % BLOCK) if full else "Free OCR."
        asked = mode, sampling, words
        hints = hints_of(hint, asked, self.blocks)
        self.streams += [[asked, self.engine.stream(request(*asked, hints)), []] for _ in range(copies)]

    @rule(count=st.integers(1, 8))
    def step(self, count):
        for _ in range(count):
            self.engine.step()

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), count=st.integers(1, 5))
    def take(self, data, count):
        _, stream, deltas = data.draw(st.sampled_from(self.streams))
        for _ in range(count):
            deltas += [delta] if (delta := next(stream, None)) else []

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), forgotten=st.booleans())
    def cancel(self, data, forgotten):
        entry = data.draw(st.sampled_from(self.streams))
        self.streams.remove(entry)
        if not forgotten:
            entry[1].cancel()

    @invariant()
    def every_block_is_free_or_held_once(self):
        blocks = held(self.engine)
        assert len(set(blocks)) == len(blocks)
        assert self.engine.pool.free + len(blocks) == self.blocks

    def teardown(self):
        for asked, stream, deltas in self.streams:
            deltas += stream
            ids = tuple(index for delta in deltas for index in delta.ids)
            found = ids, "".join(delta.text for delta in deltas), deltas[-1].finish_reason
            assert found == alone(*asked, self.blocks)
        while self.engine.step():  # streams that were forgotten may still be somewhere
            pass
        assert self.engine.scheduler.idle
        assert self.engine.pool.free == self.blocks
        self.engine.close()


Together.TestCase.settings = settings(max_examples=6, stateful_step_count=10, deadline=None)
TestTogether = Together.TestCase


def test_requests_that_come_one_after_another_share_their_steps():
    running = engine()
    streams = [running.stream(request()) for _ in range(3)]
    first = next(streams[0])
    assert len(running.scheduler.running) == 3
    assert [next(stream) for stream in streams[1:]] == [first] * 2


def test_a_right_hint_saves_passes_and_changes_nothing():
    long = replace(FREE, max_tokens=60)
    ids, text, reason = alone("tiny", long, "Free OCR.", 64)
    generation = engine().generate(request("tiny", long, hints=(ids,)))
    assert (generation.ids, generation.text, generation.finish_reason) == (ids, text, reason)
    assert generation.stats.decode_tokens == 59
    assert generation.stats.decode_steps < 20


def test_an_image_in_a_hint_disturbs_nobody():
    long = replace(FREE, max_tokens=60)
    ids, text, _ = alone("tiny", long, "Free OCR.", 64)
    running = engine()
    told = running.stream(request("tiny", long, hints=((*ids[:9], TOKENIZER.image, IMAGE, *ids[9:]),)))
    other = running.stream(request())
    assert "".join(delta.text for delta in told) == text
    assert list(other)


def test_a_wrong_hint_is_soon_given_up():
    long = replace(FREE, max_tokens=60)
    ids, text, reason = alone("tiny", long, "Free OCR.", 64)
    wrong = tuple(index for place, index in enumerate(ids) for index in ((index,) if place % 3 else (index, 7)))
    generation = engine().generate(request("tiny", long, hints=(wrong,)))
    assert (generation.ids, generation.text, generation.finish_reason) == (ids, text, reason)


def test_a_text_that_repeats_itself_is_ended_and_tells_where_it_began(monkeypatch):
    step = NETWORK.step

    def stammer(x, batch, wanted):
        logits = step(x, batch, wanted)
        for row, place in zip(logits, wanted, strict=True):
            row[TOKENIZER.encode("abc", allow_special=False)[int(batch.positions[place]) % 3]] = 1e6
        return logits

    monkeypatch.setattr(NETWORK, "step", stammer)
    stream = engine().stream(request(sampling=replace(FREE, max_tokens=2000, stop_loops=True)))
    ids, text, reason = taken(stream)
    assert reason == "loop"
    assert 100 < len(ids) < 1500
    assert len(text[: stream.loop.start]) < 100
    kept = len(ids) + 100
    assert len(taken(engine().stream(request(sampling=replace(FREE, max_tokens=kept))))[0]) == kept


def test_a_long_prompt_is_read_in_chunks_and_nobody_waits_for_it():
    running = engine(prefill_chunk=32)
    writing, reading = running.stream(request(sampling=replace(FREE, max_tokens=40))), None
    next(writing)
    reading = running.stream(request("gundam"))
    running.step()
    sequence = running.scheduler.running[1]
    while not sequence.ready:
        time.sleep(0.01)
    while not sequence.started:
        before, length = sequence.read, len(writing._sequence.ids)
        running.step()
        assert len(writing._sequence.ids) == length + 1
        assert 0 < sequence.read - before <= 32
    assert taken(reading) == alone("gundam", FREE, "Free OCR.", 64)


def test_a_text_that_lost_its_blocks_goes_on_as_if_it_had_not():
    long = replace(FREE, max_tokens=150)
    running = engine(6, context_limit=4 * BLOCK)
    streams = [running.stream(request("tiny", long)) for _ in range(2)]
    put_back = 0
    while not all(stream.over for stream in streams):
        running.step()
        put_back += streams[1]._sequence in running.scheduler.waiting and streams[1]._sequence.started
    assert put_back
    assert [taken(stream) for stream in streams] == [alone("tiny", long, "Free OCR.", 6)] * 2


def test_who_waits_longest_is_first_even_where_a_shorter_one_would_fit():
    running = engine(6)
    streams = [running.stream(request(mode)) for mode in ("tiny", "small", "text")]
    ended = []
    while running.step():
        ended += [number for number, stream in enumerate(streams) if stream.over and number not in ended]
        assert streams[2]._sequence not in running.scheduler.running or streams[1]._sequence not in list(
            running.scheduler.waiting
        )
    assert sorted(ended) == [0, 1, 2]


def test_a_text_alone_that_fills_the_memory_ends_with_the_context():
    generation = engine(1).generate(request(sampling=Sampling(ngram_rule="none")))
    assert generation.finish_reason == "context"
    assert generation.prompt_places + len(generation.ids) == BLOCK


def test_a_prompt_that_can_never_fit_is_refused_with_both_sizes():
    with pytest.raises(InputError, match=r"84 places, 144 KB, .*room for 64, 72 KB: raise --memory"):
        engine(1).stream(request("tiny"))
    with pytest.raises(InputError, match="raise --memory"):
        engine(0).stream(request())


def test_a_batch_of_none_is_refused():
    with pytest.raises(InputError, match="batch is 0"):
        engine(batch=0)


def test_no_more_is_set_aside_than_the_batch_can_fill():
    assert engine(10**6, batch=2, context_limit=100).pool.blocks == 4


@pytest.mark.parametrize("forget", [False, True])
def test_a_stream_that_is_left_frees_its_blocks_within_a_step(forget):
    running = engine()
    stream = running.stream(request())
    next(stream)
    assert held(running)
    if forget:
        del stream
        gc.collect()
    else:
        stream.close()
        assert list(stream) == []
    assert not running.step()
    assert running.pool.free == running.pool.blocks


def test_a_page_that_cannot_be_encoded_costs_one_request(monkeypatch):
    encode = NETWORK.encode_many

    def fail(pages):
        if any(views.layout.overview_side == 8 for views in pages):
            raise RuntimeError("cannot look")
        return encode(pages)

    monkeypatch.setattr(NETWORK, "encode_many", fail)
    running = engine()
    good, bad, other = (running.stream(request(mode)) for mode in ("small", "tiny", "small"))
    assert taken(good) == taken(other) == alone("small", FREE, "Free OCR.", 64)
    with pytest.raises(RuntimeError, match="cannot look"):
        next(bad)
    assert not running.step()
    assert running.pool.free == running.pool.blocks


def test_a_pass_that_fails_costs_the_request_that_came_last(monkeypatch):
    step = NETWORK.step

    def fail(x, batch, wanted):
        if len(batch.tables) > 1:
            raise MemoryError
        return step(x, batch, wanted)

    running = engine()
    first, last = running.stream(request()), running.stream(request())
    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "step", fail)
        assert taken(first) == alone("text", FREE, "Free OCR.", 64)
    with pytest.raises(MemoryError):
        next(last)


def test_numbers_that_do_not_fit_cost_the_request_that_has_them(monkeypatch):
    running = engine()
    good, bad = running.stream(request()), running.stream(request(words="no numbers"))
    step = NETWORK.step

    def spoil(x, batch, wanted):
        logits = step(x, batch, wanted)
        if len(batch.tables) == 2:
            logits[1] = float("nan")
        return logits

    monkeypatch.setattr(NETWORK, "step", spoil)
    with pytest.raises(InputError, match="use dtype float32"):
        next(bad)
    monkeypatch.undo()
    assert taken(good) == alone("text", FREE, "Free OCR.", 64)


def test_streams_read_in_threads_of_their_own_are_the_same():
    running, found = engine(), {}
    modes = ["text", "tiny", "small", "tiny"]

    def read(number):
        found[number] = taken(running.stream(request(modes[number])))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [found[number] for number in range(4)] == [alone(mode, FREE, "Free OCR.", 64) for mode in modes]


def test_a_closed_engine_ends_its_streams_and_takes_no_more():
    running = engine()
    stream = running.stream(request("gundam"))
    running.step()
    running.close()
    assert list(stream) == []
    assert running.pool.free == running.pool.blocks
    with pytest.raises(RuntimeError, match="closed"):
        running.stream(request())


def test_stats_count_places_tokens_and_seconds():
    generation = engine().generate(request("gundam"))
    stats = generation.stats
    layout = views_of("gundam")[0].layout
    assert stats.prompt_places == len(request("gundam").ids)
    assert stats.vision_tokens == layout.vision_tokens
    assert stats.tokens_out == len(generation.ids) == 12
    assert stats.decode_steps == 11
    assert stats.compression == pytest.approx(12 / layout.vision_tokens)
    assert 0 < stats.encode_seconds + stats.prefill_seconds + stats.decode_seconds <= generation.seconds
    assert stats.tokens_per_second == pytest.approx(11 / stats.decode_seconds)


def test_the_end_of_text_counts_as_a_token_out():
    early = Tokenizer(TOKENIZER.path)
    early.eos = alone("tiny", FREE, "Free OCR.", 64)[0][3]
    generation = Engine(NETWORK, early, memory=64 * BYTES).generate(request("tiny"))
    assert generation.finish_reason == "stop"
    assert generation.stats.tokens_out == len(generation.ids) + 1
