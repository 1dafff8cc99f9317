"""Where a text that was written leads to in the text that it should be, and a step of training on such texts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_loop import READ

from dsocr.training.rollouts import align, led_back
from dsocr.training.slips import truthful

IDS = st.lists(st.integers(0, 3), max_size=30)


def led(written: str, truth: str) -> list[int | None]:
    return align([ord(letter) for letter in written], [ord(letter) for letter in truth]).following


def test_the_truth_leads_through_itself():
    assert align([7, 8, 9], [7, 8, 9]) == truthful([7, 8, 9])


def test_a_wrong_character_keeps_its_place():
    assert led("thc tide", "the tide") == list(range(1, 9))


def test_after_one_left_out_it_goes_on_from_there():
    assert led("th tide", "the tide") == [1, 2, 4, 5, 6, 7, 8]


def test_after_one_put_in_the_place_is_the_same():
    assert led("thee tide", "the tide") in ([1, 2, 3, 3, 4, 5, 6, 7, 8], [1, 2, 2, 3, 4, 5, 6, 7, 8])


def test_what_comes_after_too_early_an_end_is_the_rest():
    assert led("the", "the tide") == [1, 2, 3]


TRUTH = "The key is under the third pot. Bring it back before noon on Friday."
LOST = "The key is undor a te of the at a te e of the e a tis. Bring it back before noon on Friday."


def led_on(written: str, truth: str, seed: int = 1) -> tuple[str, list[int | None]]:
    led = led_back(random.Random(seed), align([*map(ord, written)], [*map(ord, truth)]), [*map(ord, truth)])
    return "".join(map(chr, led.ids)), led.following


def test_small_mistakes_stay_as_they_are():
    written = "The kay is undor the third pot Bring it back before noon on on Friday."
    assert led_on(written, TRUTH) == (written, led(written, TRUTH))


@pytest.mark.parametrize("seed", range(5))
def test_one_who_is_lost_strays_a_little_and_is_then_told_the_text(seed):
    ids, following = led_on(LOST, TRUTH, seed)
    begun = next(at for at in range(len(ids)) if ids[at] != LOST[at])
    assert len("The key is und") + 2 <= begun <= len("The key is und") + 10 + 12
    rest = ids[begun:]
    assert TRUTH.endswith(rest)
    assert rest.endswith(". Bring it back before noon on Friday.")
    place = len(TRUTH) - len(rest)
    assert following[begun - 1 :] == list(range(place, len(TRUTH) + 1))


def test_one_who_never_finds_back_is_told_the_rest():
    ids, following = led_on("The key e e e e e e e e e e e e e e e e e e e", TRUTH)
    assert ids.endswith("Bring it back before noon on Friday.")
    assert following[-1] == len(TRUTH)


@given(IDS, IDS)
def test_led_back_to_the_end_of_a_text_places_still_never_go_back(written, truth):
    led = led_back(random.Random(1), align(written, truth), truth)
    assert len(led.ids) == len(led.following)
    assert led.following == sorted(led.following)
    assert all(0 <= place <= len(truth) for place in led.following)


@given(IDS, IDS)
def test_places_never_go_back_and_lie_in_the_text(written, truth):
    following = align(written, truth).following
    assert len(following) == len(written)
    assert following == sorted(following)
    assert all(0 <= place <= len(truth) for place in following)


def test_a_network_learns_from_what_it_wrote_itself(trainer, tmp_path):
    own = replace(READ, steps=2, batch=2, rolled=1.0)
    training = trainer(own, folder=tmp_path / "own")
    batch = training.pages(own, 0)
    assert training.pages(own, 1).ids.shape[0] == 2
    tokenizer = training.shop.tokenizer
    for ids, targets in zip(batch.ids, batch.targets, strict=True):
        start = int((targets >= 0).nonzero()[0])
        truth = tokenizer.decode([index for index in targets[start:].tolist() if index >= 0])
        assert tokenizer.decode(ids[start + 1 :].tolist()) != truth  # a network of random weights writes anything else
    training.run()


def test_a_mode_in_which_nothing_is_written_costs_nothing(trainer, tmp_path):
    seldom = replace(READ, modes={"tiny": 0.5, "small": 0.5}, rolled=0.03)
    training = trainer(seldom, folder=tmp_path / "seldom")
    drawn = {number: training._draw(seldom, number) for number in range(64)}
    first = next(number for number in drawn if drawn[number].rolled)
    assert {each.mode.name for number, each in drawn.items() if first <= number < first + 32} == {"tiny", "small"}
    assert training.pages(seldom, first).ids.shape[0] == len(drawn[first].notes)
