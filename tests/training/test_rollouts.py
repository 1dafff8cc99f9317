"""Where a text that was written leads to in the text that it should be, and a step of training on such texts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from test_loop import READ

from dsocr.training.rollouts import align
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


@given(IDS, IDS)
def test_places_never_go_back_and_lie_in_the_text(written, truth):
    following = align(written, truth).following
    assert len(following) == len(written)
    assert following == sorted(following)
    assert all(0 <= place <= len(truth) for place in following)


def test_a_network_learns_from_what_it_wrote_itself(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr("dsocr.training.loop._AHEAD", 3)
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
