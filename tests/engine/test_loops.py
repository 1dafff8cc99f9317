"""A page that repeats itself is stopped early and keeps its good part; one that honestly says the same is left alone."""

from __future__ import annotations

import itertools
import random
import string
import sys
import time
import tracemalloc
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.engine.loops import Loop, LoopWatch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.loop_pages.looping import LATE, looping_pages
from benchmarks.loop_pages.repetitive import repetitive_pages
from benchmarks.loops import SOON, Caught, catch, watch

BEFORE = "Please return the signed slip to Miss Vaughan by Friday.\n\n"


@cache
def some() -> list[str]:
    return [page.text[: page.onset + 3000] for page in looping_pages(seed=5, each=1)]


@pytest.fixture(scope="module")
def caught() -> list[Caught]:
    return [catch(page) for page in looping_pages(seed=3, each=1)]


def test_loops_of_every_kind_are_noticed_within_two_hundred_tokens(caught):
    late = {each.page.kind for each in caught if not each.soon}
    assert late <= LATE | {"long paragraph"}  # where it is all that the page says, its third copy has to begin
    assert not [each.page.kind for each in caught if each.page.kind not in LATE and each.surplus > 1.2 * SOON]


def test_what_is_kept_ends_with_the_first_copy(caught):
    ends = [(each.page.kind, each.beyond) for each in caught if each.page.kind not in LATE]
    assert [(kind, beyond) for kind, beyond in ends if beyond > 0 or beyond < -5] == []


def test_loops_that_look_like_honest_pages_are_noticed_later(caught):
    missed = {each.page.kind for each in caught if not each.loop}
    assert missed <= {"shuffled numbers", "banned row"}  # digits alone, rows of three words


def test_no_honest_page_is_stopped():
    assert [(page.kind, loop) for page in repetitive_pages(seed=3, each=1) if (loop := watch(page.text)[0])] == []


@given(st.deferred(lambda: st.sampled_from(some())), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_how_the_text_is_cut_makes_no_difference(text, seed):
    rng, cut, place = random.Random(seed), LoopWatch(), 0
    while place < len(text):
        size = rng.choice((0, 1, 2, 5, 70, 900))
        cut.feed(text[place : place + size])
        place += size
    assert cut.feed("") == LoopWatch().feed(text)


@given(st.text(max_size=300), st.text(min_size=1, max_size=60), st.integers(0, 40), st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_watched(before, piece, times, after):
    text = before + piece * times + after
    loop = LoopWatch().feed(text)
    assert loop is None or (0 <= loop.start < len(text) and "\n" not in loop.reason)


@given(st.text(min_size=1, max_size=80), st.text(max_size=200))
@settings(max_examples=40, deadline=None)
def test_nothing_goes_on_for_ever(piece, before):
    loop = LoopWatch().feed(before + piece * 8000)
    assert loop is not None
    found_to = 80 if loop.kind == "text" else 0  # characters; where no copy is compared with another
    assert loop.start <= len(before) + 2 * len(piece) + found_to


def test_a_loop_says_what_repeats_and_how_often():
    watching = LoopWatch()
    loop = watching.feed(BEFORE + "The same line again and again.\n" * 50)
    assert loop == Loop(len(BEFORE) + 31, "The same line again and again.\n", "line", 21)
    assert loop.reason == 'the line "The same line again and again." came 21 times in a row'
    assert watching.feed("and then something else") is loop


@pytest.mark.parametrize(
    ("text", "kind", "kept"),
    [
        ("\N{BLACK STAR}" * 900, "character", "\N{BLACK STAR}"),
        (" " * 900, "character", " "),
        ("OCR" * 900, "phrase", "OCR"),
        ("Other; " * 900, "phrase", "Other; "),
        ("\\quad " * 900, "phrase", "\\quad "),
        (
            "Come this far\nto come only\nthis far indeed\n" * 90,
            "paragraph",
            "Come this far\nto come only\nthis far indeed\n",
        ),
        ("| red bean | green pea | white |\n" * 90, "row", "| red bean | green pea | white |\n"),
        ("1, 2, 3, " + ", ".join(map(str, range(4, 366))), "phrase", "1, "),
    ],
)
def test_what_repeats_has_a_kind_and_stays_once(text, kind, kept):
    loop = LoopWatch().feed(BEFORE + text)
    assert (loop.kind, (BEFORE + text)[: loop.start]) == (kind, BEFORE + kept)


def test_of_newlines_without_end_one_is_kept():
    loop = LoopWatch().feed(BEFORE + "\n" * 900)
    assert (loop.kind, (BEFORE + "\n" * 900)[: loop.start]) == ("character", BEFORE.rstrip() + "\n")


def test_forty_rows_of_twelve_equal_cells_are_a_table_and_three_hundred_are_not():
    row = "<tr>" + "<td>0</td>" * 12 + "</tr>"
    assert LoopWatch().feed(f"<table>{row * 40}</table>") is None
    loop = LoopWatch().feed("<table>" + row * 300)
    assert (loop.kind, loop.start) == ("row", len("<table>" + row))


def test_a_row_may_have_a_cell_for_each_week_but_not_go_on_for_ever():
    assert LoopWatch().feed("<table>" + ("<tr><td>Roof</td>" + "<td></td>" * 52 + "</tr>") * 12) is None
    assert LoopWatch().feed("<table><tr><td>Roof</td>" + "<td></td>" * 80).unit == "<td></td>"


def test_the_same_form_twice_on_a_sheet_is_no_loop_and_three_times_is():
    form = "".join(f"Line {number} {BEFORE[number:]}" for number in range(8))
    assert LoopWatch().feed(form * 2) is None
    assert LoopWatch().feed(form * 3).start == len(form)


LONG = (
    "The committee met on Tuesday to talk about the new bridge and what it would cost the town over ten years. Nobody "
    "was sure of the figures, though the engineer had brought a folder. In the end they agreed to wait for the spring, "
    "when the river is low and the surveyors can walk across. Mrs. Hale kept the minutes; it rained all night, and the "
    "boats were tied up twice. By morning the meadow stood under water, two sheep were missing, and the miller had moved "
    "his sacks upstairs without asking anybody for help. His brother came later with a lantern and a dog. What they did "
    "then is told in two ways, and neither of them does the miller any honour, which he knew himself.\n\n"
)


def test_a_paragraph_that_is_all_a_sheet_says_is_a_loop_when_it_begins_for_the_third_time():
    assert LoopWatch().feed(LONG * 2) is None
    loop = LoopWatch().feed(LONG * 2 + LONG[:100])
    assert (loop.start, loop.kind) == (len(LONG), "paragraph")


def test_behind_another_text_a_long_paragraph_is_known_again_before_its_end():
    before = "The house stands in a quiet street, and its windows look to the north.\n\n"
    assert LoopWatch().feed(before + LONG + LONG[:600]) is None
    loop = LoopWatch().feed(before + LONG + LONG[:630])
    assert (loop.start, loop.kind) == (len(before + LONG), "paragraph")
    two = LONG.replace("folder. In", "folder.\n\nIn")
    assert LoopWatch().feed(before + two * 2) is None  # several paragraphs may be a form that comes twice


def test_one_block_that_comes_again_at_its_place_is_enough():
    tall = f"<|ref|>text<|/ref|><|det|>[[80, 10, 500, 90]]<|/det|>\n{LONG}"
    three = tall + blocks("Vaughan, 12 Quay Street", 300)
    again = three + tall[:-1]
    assert LoopWatch().feed(again) is None
    assert LoopWatch().feed(again + "\n" + blocks("Vaughan, 12 Quay Street", 300)[:24]).start == len(three)
    assert LoopWatch().feed(three + tall.replace("[80,", "[81,") + blocks("Vaughan, 12 Quay Street", 300)[:24]) is None


def blocks(text: str, step: int) -> str:
    tops = range(20, 900, step)
    return "".join(f"<|ref|>text<|/ref|><|det|>[[80, {top}, 500, {top + 40}]]<|/det|>\n{text}\n\n" for top in tops)


def test_equal_blocks_below_each_other_are_labels_and_sliding_over_each_other_a_loop():
    assert LoopWatch().feed(blocks("Vaughan, 12 Quay Street", 41)) is None
    sliding = blocks("Vaughan, 12 Quay Street", 9)
    assert LoopWatch().feed(sliding).start == sliding.index("<|ref|>", 1)


def test_a_number_that_changes_does_not_hide_a_paragraph_that_comes_again():
    copies = [
        f"{BEFORE.strip()} We read section {number} of it once. {BEFORE.strip()[::-1]}{'.' * 3} And on we went, as before, to see what came of it all.\n\n"
        for number in range(7, 20)
    ]
    loop = LoopWatch().feed("".join(copies))
    assert (loop.start, loop.exact) == (len(copies[0]), False)
    assert loop.reason.endswith("renumbered")


def test_rows_with_numbers_of_their_own_are_a_table():
    rng = random.Random(1)
    rows = (
        f"<tr><td>{rng.randint(1, 28)} May</td><td>Card payment to City Transport Farrow</td><td>{rng.randint(1, 9999) / 100}</td></tr>"
        for _ in range(70)
    )
    assert LoopWatch().feed("<table>" + "".join(rows)) is None


def test_a_few_lines_in_ever_new_order_say_nothing_new():
    rng = random.Random(1)
    lines = [
        rng.choice(("Quay Tool Box\n", "Quey Tool Box\n", "Quay Toolbox\n", "Quay Tool Bax\n")) for _ in range(400)
    ]
    loop = LoopWatch().feed(BEFORE + "".join(lines))
    assert loop.kind == "text"
    assert len(BEFORE) <= loop.start < len(BEFORE) + 200
    assert loop.reason.startswith("nothing new came any more")


def test_a_row_wider_than_anything_kept_is_still_counted():
    row = "<tr>" + "<td></td>" * 60 + "</tr>"
    loop = LoopWatch().feed("<table>" + row * 90)
    assert (loop.kind, loop.start, loop.times) == ("row", len("<table>" + row), 81)


def words_in_a_growing_pattern() -> str:
    """Fibonacci's word: it repeats everywhere and is periodic nowhere."""
    shorter, longer = "a", "ab"
    while len(longer) < 50_000:
        shorter, longer = longer, longer + shorter
    return longer


RNG = random.Random(1)
HARD = {
    "letters by chance": "".join(RNG.choices(string.ascii_letters + " \n", k=50_000)),
    "digits and marks": "".join(RNG.choices("0123456789,.[] \n", k=50_000)),
    "a pattern that grows": words_in_a_growing_pattern(),
    "runs just too short": "".join("ab" * 75 + letter for letter in itertools.islice(itertools.cycle("cdefg"), 330)),
    "tags that never end": "".join(f"<|ref|><|det|>[[{number}" for number in range(3000)),
    "commas": "".join(f"{number % 7}," for number in range(25_000)),
}


@pytest.mark.parametrize("name", HARD)
def test_reading_along_takes_microseconds_a_character(name):
    began = time.process_time()
    watching = LoopWatch()
    for character in HARD[name]:
        watching.feed(character)
    assert time.process_time() - began < 1.0  # 20 µs a character; about 4 on a quiet machine


def test_memory_does_not_grow_with_the_text():
    text = HARD["letters by chance"] + HARD["digits and marks"]
    watching = LoopWatch()
    tracemalloc.start()
    watching.feed(text[:20_000])
    after_some, _ = tracemalloc.get_traced_memory()
    watching.feed(text[20_000:60_000])
    after_more, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after_more < 1.5 * after_some
