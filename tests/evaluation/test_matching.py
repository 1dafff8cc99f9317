"""Which piece stands for which block of the truth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsocr.evaluation import edit
from dsocr.evaluation.omnidocbench.matching import Group, _is_inside, match, pair, surely_alike

BLOCKS = st.lists(st.text("abcdefgh ", min_size=1, max_size=12), max_size=6)
FIRST, SECOND, THIRD = "the first paragraph", "another one that follows", "and the last"


def test_equal_blocks_find_each_other_in_any_order():
    assert match([FIRST, SECOND, THIRD], [THIRD, FIRST, SECOND]) == (
        Group((0,), (1,)),
        Group((1,), (2,)),
        Group((2,), (0,)),
    )


def test_a_block_that_fell_into_pieces_is_put_together():
    assert match([FIRST, SECOND], [FIRST, SECOND[:11], SECOND[11:]]) == (Group((0,), (0,)), Group((1,), (1, 2)))


def test_blocks_that_were_read_as_one_are_one_group():
    assert match([FIRST, SECOND], [FIRST + SECOND, "something else altogether"])[0] == Group((0, 1), (0,))


def test_a_block_that_was_not_read_stands_alone():
    assert match([FIRST, SECOND, THIRD], [FIRST, THIRD]) == (
        Group((0,), (0,)),
        Group((2,), (1,)),
        Group((1,), (), twice=True),
    )


def test_pieces_that_match_nothing_stand_alone_when_all_of_the_truth_is_matched():
    assert match([FIRST], [FIRST, "zzzzzz", "yyyyyy"]) == (Group((0,), (0,)), Group((), (1, 2)))


def test_one_block_and_one_piece_are_a_pair_however_unlike():
    assert match(["abc"], ["xyz"]) == (Group((0,), (0,)),)


def test_without_a_side_the_other_stands_alone():
    assert match([], ["a", "b"]) == (Group((), (0,)), Group((), (1,)))
    assert match(["a", "b"], []) == (Group((0,), ()), Group((1,), ()))
    assert match([], []) == ()


def test_tables_are_paired_one_to_one():
    assert pair(["aaaa", "bbbb"], ["bbbx"]) == (Group((0,), ()), Group((1,), (0,)))
    assert pair(["aaaa"], ["bbbb", "aaax"]) == (Group((0,), (1,)), Group((), (0,)))


def test_pieces_that_are_a_header_beyond_doubt_are_known():
    assert surely_alike(["running head"], ["running heed", "some text"]) == (0,)
    assert surely_alike([], ["a"]) == surely_alike(["a"], []) == ()


@given(BLOCKS, BLOCKS)
def test_every_block_of_the_truth_stands_in_one_group(truths, pieces):
    groups = match(truths, pieces)
    assert sorted(truth for group in groups for truth in group.truths) == list(range(len(truths)))
    assert {piece for group in groups for piece in group.pieces} <= set(range(len(pieces)))


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=12), max_size=6, unique=True), st.randoms())
def test_the_truth_in_another_order_is_matched_to_itself(truths, random):
    places = list(range(len(truths)))
    random.shuffle(places)
    groups = match(truths, [truths[place] for place in places])
    if len(truths) > 1:
        assert all(truths[group.truths[0]] == truths[places[group.pieces[0]]] for group in groups)


@given(st.text("ab", max_size=6), st.text("ab", max_size=12), st.sampled_from([0.0, 0.25, 0.4, 0.6]))
def test_what_stands_inside_is_found_as_if_every_stretch_were_looked_at(part, whole, share):
    stretches = [whole[start : start + len(part)] for start in range(len(whole) - len(part) + 1)]
    plain = any(edit.distance(stretch, part) / len(part) < share for stretch in stretches if part)
    assert _is_inside(part, whole, share) == plain
