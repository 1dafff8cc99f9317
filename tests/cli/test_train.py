"""`dsocr train`: options, recipes, and one line for what is wrong."""

from __future__ import annotations

import pytest
from PIL import Image
from typer.testing import CliRunner

from dsocr.cli import app


def says(*arguments):
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_pages_are_taught_with_options_alone(checkpoint, tmp_path):
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for number in range(9):
        Image.new("RGB", (64, 64), "white").save(pairs / f"{number}.png")
        (pairs / f"{number}.txt").write_text("white")
    options = ("--steps", 2, "--batch", 1, "--mode", "tiny", "--lora", 2, "--device", "cpu")
    result = says("-o", tmp_path / "made", "--pairs", pairs, "--start", checkpoint, *options)
    assert result.exit_code == 0, result.stderr
    assert not result.stdout
    assert "teach 2/2 loss" in result.stderr
    assert (tmp_path / "made" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give the checkpoint's folder"),
        (("-o", "x"), "give their folder"),
        (("--config", "nano", "--steps", 3), "--steps goes without --config"),
        (("--config", "none.toml"), "none.toml cannot be read"),
        (("-o", "x", "--pairs", "none"), "none is no folder"),
        (("-o", "x", "--pairs", ".", "--steps", 0), "steps is 0"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, said):
    result = says(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
