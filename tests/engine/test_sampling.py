"""From logits to the next token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsocr.engine.request import Sampling
from dsocr.engine.sampling import Choice, NgramMemory, huggingface_ngram_ban, ngram_memory, sample, windowed_ngram_ban
from dsocr.errors import InputError

CASES = json.loads((Path(__file__).parents[1] / "golden" / "ngram.json").read_text())
SHORT_IDS = st.lists(st.integers(0, 3), max_size=60)


@pytest.mark.parametrize("case", CASES)
def test_both_bans_agree_with_the_published_ones(case):
    windowed = windowed_ngram_ban(case["seq"], case["ngram"], case["window"], case["whitelist"])
    assert sorted(windowed) == case["vllm_banned"]
    assert sorted(huggingface_ngram_ban(case["seq"], case["ngram"])) == case["hf_banned"]


@given(SHORT_IDS, st.integers(1, 6), st.integers(0, 20), st.frozensets(st.integers(0, 3), max_size=2))
def test_the_memory_bans_what_its_plain_twins_ban_at_every_step(ids, ngram, window, whitelist):
    windowed, whole = NgramMemory(ngram, window, whitelist), NgramMemory(ngram)
    for end in range(len(ids) + 1):
        assert windowed.banned() == windowed_ngram_ban(ids[:end], ngram, window, whitelist)
        assert whole.banned() == huggingface_ngram_ban(ids[:end], ngram)
        for index in ids[end : end + 1]:
            windowed.push(index)
            whole.push(index)


def test_the_windowed_rule_sees_only_what_was_generated():
    memory = ngram_memory(Sampling(ngram_size=2), [1, 2, 1], cells=())
    assert memory.banned() == set()


def test_the_huggingface_rule_sees_the_prompt_and_spares_no_cell():
    memory = ngram_memory(Sampling(ngram_size=2, ngram_rule="huggingface"), [1, 2, 1], cells={2})
    assert memory.banned() == {2}


def test_cells_may_repeat_unless_a_whitelist_says_otherwise():
    for whitelist, banned in ((None, set()), (frozenset(), {5})):
        memory = ngram_memory(Sampling(ngram_size=2, whitelist=whitelist), [], cells={5})
        for index in (5, 5):
            memory.push(index)
        assert memory.banned() == banned


def test_no_rule_is_no_memory():
    assert ngram_memory(Sampling(ngram_rule="none"), [1, 1], cells=()) is None


LOGITS = torch.tensor([0.0, 3.0, 2.0, 1.0])


def test_greedy_takes_the_likeliest_that_is_not_banned():
    assert sample(LOGITS, Choice(Sampling())) == 1
    assert sample(LOGITS, Choice(Sampling(), banned={1})) == 2
    assert LOGITS.tolist() == [0.0, 3.0, 2.0, 1.0]


def test_a_ban_on_everything_is_no_ban():
    assert sample(LOGITS, Choice(Sampling(), banned={0, 1, 2, 3})) == 1


def test_a_seed_draws_the_same_again():
    sampling = Sampling(temperature=1.0)
    draws = [[sample(LOGITS, Choice(sampling, generator)) for _ in range(20)] for generator in (_seeded(7), _seeded(7))]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 1


@given(st.integers(0, 2**32), st.floats(0.01, 1.0))
def test_top_p_draws_only_from_the_nucleus(seed, top_p):
    probabilities = torch.softmax(LOGITS, 0)
    drawn = sample(LOGITS, Choice(Sampling(temperature=1.0, top_p=top_p), _seeded(seed)))
    likelier = probabilities[probabilities > probabilities[drawn]].sum()
    assert likelier < top_p + 1e-6


def test_a_banned_id_is_never_drawn():
    generator = _seeded(0)
    drawn = {sample(LOGITS, Choice(Sampling(temperature=5.0, top_p=0.9), generator, {1, 2})) for _ in range(50)}
    assert drawn <= {0, 3}


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 1e300])
def test_extreme_temperatures_still_draw(temperature):
    assert sample(LOGITS * 1e4, Choice(Sampling(temperature=temperature, top_p=0.5), _seeded(0))) in range(4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("seed", 2**64),
        ("ngram_size", 0),
        ("ngram_window", -1),
        ("ngram_rule", "sometimes"),
        ("stop", ("",)),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(InputError, match=name):
        Sampling(**{name: value})


def _seeded(seed):
    return torch.Generator().manual_seed(seed)
