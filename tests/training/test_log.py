"""What a run says can be read by people and programs, and drawn."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rapidfuzz.distance import Levenshtein

from dsocr.training.curves import read_curves
from dsocr.training.held_out import edits, error_rate
from dsocr.training.log import Log


@pytest.fixture
def log(tmp_path) -> Log:
    log = Log(tmp_path, lambda _: None)
    for stage, steps in enumerate((3, 2)):
        for step in range(1, steps + 1):
            log.step(stage, f"stage {stage}", step, steps, {"loss": 1.0 / step, "right": 0.5})
        log.measured(stage, steps, 0.25)
    return log


def test_every_step_is_a_line_and_a_stages_end_is_readable(log, tmp_path):
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(entry["stage"], entry["step"]) for entry in entries] == [
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 3),
        (1, 1),
        (1, 2),
        (1, 2),
    ]
    readable = (tmp_path / "log.txt").read_text()
    assert "stage 0 3/3 loss" in readable
    assert "kept pages read with 25.0% character errors" in readable


def test_what_a_killed_run_wrote_after_its_state_is_forgotten(log, tmp_path):
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"stage": 1, "st')  # cut off by the kill
    log.forget_after(0, 2)
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_a_silent_log_writes_nothing(tmp_path):
    said = []
    log = Log(tmp_path, said.append, silent=True)
    log.step(0, "all", 1, 1, {"loss": 1.0})
    log.draw()
    assert not said
    assert not list(tmp_path.iterdir())


def test_curves_count_steps_on_from_stage_to_stage(log, tmp_path):
    loss, right, errors = read_curves(tmp_path / "log.jsonl")
    assert [step for step, _ in loss.points] == [1, 2, 3, 4, 5]
    assert errors.points == [(3, 0.25), (5, 0.25)]
    assert len(right.points) == 5


def test_curves_are_drawn_lower_where_the_loss_is_lower(log, tmp_path):
    log.draw()
    with Image.open(tmp_path / "curves.png") as picture:
        blue = [(x, y) for x in range(picture.width) for y in range(320) if picture.getpixel((x, y)) == (31, 111, 180)]
    left, right = min(blue), max(blue)
    assert left[1] < right[1]


def test_a_loss_that_is_no_number_does_not_break_the_drawing(tmp_path):
    log = Log(tmp_path, lambda _: None)
    log.step(0, "all", 1, 1, {"loss": float("nan")})
    log.draw()
    assert (tmp_path / "curves.png").exists()


@given(st.text("ab c", max_size=12), st.text("abd ", max_size=12))
def test_edits_are_those_of_levenshtein(written, truth):
    assert edits(written, truth) == Levenshtein.distance(written, truth)


def test_white_space_counts_as_single_spaces():
    assert error_rate("a\n\n b ", "a b") == 0
    assert error_rate("", "abcd") == 1
    assert error_rate("a" * random.Random(0).randint(9, 20), "b") > 1
