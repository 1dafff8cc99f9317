"""Requests in, tokens out, on a micro model whose answers the published code has given."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from micro import HERE, PAGE, load_goldens, load_micro

from dsocr.engine.batch import Batch, Span
from dsocr.engine.engine import Engine
from dsocr.engine.kv_cache import KVPool, blocks_for
from dsocr.engine.request import Request, Sampling
from dsocr.engine.sequence import Writer
from dsocr.errors import InputError
from dsocr.model.tokenizer import Tokenizer
from dsocr.pages import get_mode
from dsocr.pages.tiling import make_views

GOLDENS = load_goldens()
GOLDEN = GOLDENS["tiny"]
PROMPT = tuple(GOLDEN["input_ids"][0].tolist())
GREEDY = tuple(GOLDEN["greedy"].tolist())
VIEWS = make_views(PAGE, get_mode("tiny"))
FREE = Sampling(max_tokens=16, ngram_rule="none")


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(str(files("dsocr") / "nano" / "tokenizer.json"))


@pytest.fixture(scope="module")
def network():
    return load_micro()


@pytest.fixture(scope="module")
def engine(network, tokenizer):
    return Engine(network, tokenizer)


def read(sampling):
    return Request(PROMPT, (VIEWS,), sampling)


@pytest.mark.parametrize("mode", GOLDENS)
@pytest.mark.parametrize(
    ("name", "sampling"),
    [("greedy", FREE), ("greedy_ngram2", Sampling(max_tokens=48, ngram_rule="huggingface", ngram_size=2))],
)
def test_a_page_is_read_as_the_published_code_reads_it(engine, mode, name, sampling):
    ids = tuple(GOLDENS[mode]["input_ids"][0].tolist())
    generation = engine.generate(Request(ids, (make_views(PAGE, get_mode(mode)),), sampling))
    assert generation.ids == tuple(GOLDENS[mode][name].tolist())


def test_a_generation_tells_why_it_ended_and_how_long_it_took(engine):
    generation = engine.generate(read(FREE))
    assert generation.finish_reason == "length"
    assert generation.prompt_places == 84
    assert 0 < generation.seconds_to_first <= generation.seconds


def test_no_generated_pair_comes_twice_in_the_window(engine):
    ids = engine.generate(read(Sampling(max_tokens=30, ngram_size=2, ngram_window=90))).ids
    pairs = list(pairwise(ids))
    assert len(pairs) == len(set(pairs))


def test_a_stream_joined_is_the_generation(engine, tokenizer):
    deltas = list(engine.stream(read(FREE)))
    generation = engine.generate(read(FREE))
    assert "".join(delta.text for delta in deltas) == generation.text == tokenizer.decode(generation.ids)
    assert [delta.ids for delta in deltas] == [(index,) for index in GREEDY] + [()]
    assert [delta.finish_reason for delta in deltas] == [None] * 16 + ["length"]


def test_the_end_of_text_stops_and_is_not_part_of_the_answer(network, tokenizer):
    early = Tokenizer(tokenizer.path)
    early.eos = 231
    generation = Engine(network, early).generate(read(FREE))
    assert generation.ids == GREEDY[:6]
    assert generation.finish_reason == "stop"


def test_a_stop_text_ends_the_answer_and_is_cut_off(engine):
    generation = engine.generate(read(replace(FREE, stop=("x", "((("))))
    assert (generation.text, generation.ids, generation.finish_reason) == ("", GREEDY[:3], "stop")


def test_the_context_limit_ends_the_answer(network, tokenizer):
    generation = Engine(network, tokenizer, context_limit=len(PROMPT) + 5).generate(read(FREE))
    assert generation.ids == GREEDY[:5]
    assert generation.finish_reason == "context"


def test_a_prompt_that_fills_the_context_leaves_no_room(network, tokenizer):
    generation = Engine(network, tokenizer, context_limit=len(PROMPT)).generate(read(FREE))
    assert (generation.ids, generation.finish_reason) == ((), "context")


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(network, tokenizer):
    with pytest.raises(InputError, match=r"84 places.* 83"):
        Engine(network, tokenizer, context_limit=len(PROMPT) - 1).stream(read(FREE))


def test_the_context_is_never_longer_than_the_network_was_built_for(network, tokenizer):
    assert Engine(network, tokenizer, context_limit=10**6).context_limit == 8192


def test_views_and_image_places_must_be_equal_in_number(engine):
    with pytest.raises(InputError, match="73 image places, its views take 146"):
        engine.stream(Request(PROMPT, (VIEWS, VIEWS), FREE))


@pytest.mark.parametrize("ids", [(), (0, 320), (-1,)])
def test_a_prompt_with_no_ids_or_unknown_ids_is_refused(engine, ids):
    with pytest.raises(InputError, match="the prompt has"):
        engine.stream(Request(ids))


def test_a_prompt_without_a_page_is_answered(engine, network):
    ids = (0, 73, 117)
    generation = engine.generate(Request(ids, sampling=replace(FREE, max_tokens=1)))
    assert generation.ids == (int(network(torch.tensor([ids], device=HERE))[0, -1].argmax()),)


def test_an_answer_never_holds_the_image_id(network, tokenizer, engine):
    likeliest = engine.generate(Request((0, 73), sampling=FREE)).ids[0]
    other = copy(network)
    other.image_token_id = likeliest
    assert likeliest not in Engine(other, tokenizer).generate(Request((0, 73), sampling=FREE)).ids


def test_two_pages_stand_in_the_prompt_in_their_order(engine, network):
    other = replace(VIEWS, overview=VIEWS.overview.flip(-1))
    ids = PROMPT[:74] + PROMPT[1:]
    generation = engine.generate(Request(ids, (other, VIEWS), replace(FREE, max_tokens=1)))
    vision = torch.cat([network.encode(other), network.encode(VIEWS)])
    assert generation.ids == (int(network(torch.tensor([ids], device=HERE), vision)[0, -1].argmax()),)


def small_pool(network, places):
    config = network.config.decoder
    return KVPool(config.layers, config.kv_heads, config.head_dim, blocks_for(places), network.dtype, HERE)


@torch.inference_mode()
def test_reading_on_with_stored_places_is_reading_everything_again(network):
    ids = torch.tensor([PROMPT + GREEDY], device=HERE)
    rows = network.embed(ids, GOLDEN["vision_tokens"])[0]
    whole = network(ids, GOLDEN["vision_tokens"])[0]
    for blocks in ([0, 1], [3, 1]):  # in a row and not
        pool = small_pool(network, 4 * 64)
        for start, end in ((0, 84), (84, 85), (85, 90), (90, 91), (91, 100)):  # one by one and several at once
            batch = Batch(pool, [Span(blocks, start, end)])
            logits = network.step(rows[start:end], batch, list(range(end - start)))
            torch.testing.assert_close(logits, whole[start:end])


def test_a_seed_writes_the_same_again_and_another_seed_does_not(engine):
    def written(seed):
        return engine.generate(read(replace(FREE, temperature=1.5, seed=seed))).ids

    assert written(1) == written(1) != written(2)


@pytest.mark.parametrize(
    ("asked", "exact"),
    [
        ({}, 0),
        ({"temperature": 0.7}, 1),
        ({"ngram_rule": "windowed", "ngram_size": 30}, 0),
        ({"ngram_rule": "windowed", "ngram_size": 2}, 1),
    ],
)
def test_the_network_is_told_who_wants_every_logit(network, tokenizer, asked, exact):
    told = set()

    class Listening:
        """The plain decoder, overheard."""

        def step(self, x, batch, wanted):
            told.update(batch.exact.tolist())
            return network.step(x, batch, wanted)

    listening = copy(network)
    listening.fast = Listening()
    Engine(listening, tokenizer).generate(read(replace(FREE, **asked)))
    assert told == {exact}


def test_a_stream_left_early_leaves_no_mode_behind(engine):
    stream = engine.stream(read(FREE))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    stream.close()


@settings(deadline=None)
@given(st.text("ab—"), st.text("ab—", min_size=1, max_size=4))
def test_text_before_a_stop_is_written_wholly_and_nothing_after(tokenizer, text, stop):
    writer, written = Writer(tokenizer, (stop,)), ""
    for index in tokenizer.encode(text):
        written += writer.push(index)
        if writer.stopped:
            break
    assert written + writer.finish() == text.split(stop)[0]


@given(st.lists(st.integers(0, 270)), st.lists(st.sampled_from(["ab", "\ufffd", "<td>", "é"]), max_size=2))
def test_what_is_written_holds_no_stop_text_whatever_the_ids(tokenizer, ids, stops):
    writer, written = Writer(tokenizer, stops), ""
    for index in ids:
        written += writer.push(index)
        if writer.stopped:
            break
    written += writer.finish()
    assert tokenizer.decode(ids).startswith(written)
    assert not any(stop in written for stop in stops)


def test_deltas_tell_how_sure_the_network_was_when_they_are_asked(engine):
    sure = [delta.logprob for delta in engine.stream(read(replace(FREE, logprobs=True)))]
    assert all(logprob is not None and logprob <= 0 for logprob in sure[:-1])
    assert sure[-1] is None
    assert [delta.logprob for delta in engine.stream(read(FREE))] == [None] * len(sure)
