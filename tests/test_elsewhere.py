"""A page that is written elsewhere is read like any other, by whoever is there and however late it comes."""

from __future__ import annotations

import threading

import pytest
from drawn_pages import inked

from dsocr.elsewhere import Elsewhere, Known
from dsocr.engine.request import Stats
from dsocr.pages import Page
from dsocr.reading import Reading


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


def end(elsewhere: Elsewhere, raw: str, **more) -> None:
    elsewhere.end(Known(raw, "ok", None, 3, **more), Stats(tokens_out=3), "stop")


def reading_of(elsewhere: Elsewhere) -> Reading:
    return Reading(Page("a.png", 7, inked()), elsewhere)


def test_deltas_come_as_they_are_written(elsewhere):
    deltas = iter(reading_of(elsewhere))
    for text in ("a", "b"):
        elsewhere.write(text)
        assert next(deltas).text == text
    end(elsewhere, "ab")
    assert [(delta.text, delta.finish_reason, delta.page) for delta in deltas] == [("", "stop", 7)]


def test_a_page_is_waited_for(elsewhere):
    threading.Timer(0.1, end, [elsewhere, "late"]).start()
    assert reading_of(elsewhere).transcript().raw == "late"


def test_what_it_came_to_stands_for_what_was_written(elsewhere):
    reading = reading_of(elsewhere)
    elsewhere.write("first try")
    end(elsewhere, "second try", attempts=2, rotated=90)
    transcript = reading.transcript()
    assert (transcript.raw, transcript.attempts, transcript.rotated) == ("second try", 2, 90)
    assert (transcript.width, transcript.height) == (60, 80)
    assert reading.tokens == 3


def test_a_page_that_is_cancelled_is_over_and_says_so_to_who_writes_it():
    told = []
    elsewhere = Elsewhere(lambda: told.append(True))
    elsewhere.write("begun")
    elsewhere.cancel()
    elsewhere.cancel()
    assert told == [True]
    assert reading_of(elsewhere).transcript().status == "failed"


def test_other_pages_are_looked_after_while_one_is_waited_for(elsewhere):
    reading, rounds = reading_of(elsewhere), []

    def look_after() -> None:
        rounds.append(1)
        if len(rounds) == 2:
            end(elsewhere, "done")

    reading.between = look_after
    assert reading.transcript().raw == "done"
    assert len(rounds) >= 2
