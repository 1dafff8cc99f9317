"""Whole runs at micro size: from a recipe to a folder that reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import dsocr.training.run as run_file
from dsocr.errors import InputError
from dsocr.model.weights import map_tensors
from dsocr.ocr import load
from dsocr.training.recipe import Recipe, Stage
from dsocr.training.run import train

TEACH = Stage("teach", 40, 1e-2, "pairs", batch=2, modes={"tiny": 1.0}, sam=True, balance=0.0)


@pytest.fixture
def recipe(micro, pair_folder, tmp_path) -> Callable[..., Recipe]:
    def make(stage: Stage = TEACH, **asked) -> Recipe:
        asked = {"start": str(micro), "pairs": pair_folder, "prompts": ("free",), "device": "cpu"} | asked
        return Recipe(tmp_path / "run", (stage,), **asked)

    return make


def errors(folder: Path) -> list[float]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry["held-out CER"] for entry in entries if "held-out CER" in entry]


@pytest.mark.parametrize("lora", [0, 8])
def test_a_fine_tune_teaches_a_network_what_it_could_not_read(recipe, pair_folder, tmp_path, lora):
    two = tmp_path / "two"
    two.mkdir()
    for file in sorted(pair_folder.iterdir())[:4]:
        (two / file.name).write_bytes(file.read_bytes())
    said: list[str] = []
    train(recipe(pairs=two, held_out=two, lora=lora), said.append)
    before, after = errors(tmp_path / "run")
    assert before > 0.9
    assert after < 0.5
    assert sum("kept pages" in line for line in said) == 2
    assert (tmp_path / "run" / "curves.png").exists()
    read = load(tmp_path / "run", "cpu").read(two / "00.png", "tiny", "free")
    assert read.transcripts[0].raw.strip() == "one"


def test_pages_are_kept_from_the_pairs_to_measure_with(recipe):
    trainer = run_file.open_trainer(recipe(keep_back=3), torch.device("cpu"), lambda _: None)
    assert len(trainer.shop.pairs) == 7


def test_too_few_pairs_to_keep_any_are_told(recipe):
    with pytest.raises(InputError, match="has 10 pairs, and 20 are kept"):
        train(recipe(keep_back=20), lambda _: None)


def test_nothing_is_written_for_a_folder_of_pairs_that_is_not_there(recipe, tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        train(recipe(pairs=tmp_path / "none"), lambda _: None)
    assert not (tmp_path / "run").exists()


def test_a_run_from_nothing_takes_the_shape_of_a_checkpoint_and_none_of_its_weights(recipe, micro, tmp_path, shop):
    crops = Stage("look", 1, 1e-3, "crops", sam=True, decoder=False, crops={128: 1.0})
    train(recipe(crops, start="nothing", shape=str(micro), pairs=None, keep_back=0), lambda _: None)
    made, other = (map_tensors([folder / "model.safetensors"]) for folder in (tmp_path / "run", micro))
    assert {name: tensor.shape for name, tensor in made.items()} == {n: t.shape for n, t in other.items()}
    assert not torch.equal(made["lm_head.weight"], other["lm_head.weight"])


def test_drawn_pages_are_printed_with_the_fonts_that_are_asked_for(recipe, shop):
    path = shop.fonts["DejaVuSans"] if "DejaVuSans" in shop.fonts else next(iter(shop.fonts.values()))
    notes = replace(TEACH, show="notes")
    trainer = run_file.open_trainer(
        recipe(notes, pairs=None, keep_back=2, fonts=(str(path),)), torch.device("cpu"), lambda _: None
    )
    assert trainer.shop.fonts == {path.stem: path}
    assert trainer.measure


@pytest.mark.parametrize(("font", "said"), [("NoSuchFont", "neither a file nor the name"), (__file__, "is not a font")])
def test_a_font_that_cannot_be_used_is_named(recipe, font, said):
    with pytest.raises(InputError, match=said):
        train(recipe(replace(TEACH, show="notes"), pairs=None, fonts=(font,)), lambda _: None)


def test_memory_that_runs_out_is_one_line(recipe, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(run_file.Trainer, "train_step", full)
    with pytest.raises(InputError, match="does not fit into the memory of cpu: take a smaller batch"):
        train(recipe(keep_back=0), lambda _: None)


def test_a_checkpoint_in_bfloat16_can_be_adapted_as_it_is_stored(recipe, monkeypatch, tmp_path):
    monkeypatch.setattr(run_file, "_SMALL", 0)
    train(recipe(replace(TEACH, steps=2), lora=2, keep_back=0), lambda _: None)
    assert load(tmp_path / "run", "cpu").network.config.decoder.layers == 2


def test_a_gray_page_is_shown_as_any_other(recipe, tmp_path):
    folder = tmp_path / "gray"
    folder.mkdir()
    Image.new("L", (100, 50), 200).save(folder / "a.png")
    (folder / "a.txt").write_text("nothing")
    train(recipe(replace(TEACH, steps=1), pairs=folder, keep_back=0), lambda _: None)
