"""What the training room's tests share: a network of a few thousand parameters, pages, and a trainer for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from dsocr.errors import InputError
from dsocr.model.config import parse_config
from dsocr.model.tokenizer import Tokenizer
from dsocr.training.batches import Workshop
from dsocr.training.drawing import find_fonts
from dsocr.training.log import Log
from dsocr.training.loop import Trainer, new_network
from dsocr.training.pairs import find_pairs
from dsocr.training.recipe import Recipe, Stage
from dsocr.training.text import collect_text

NANO = Path(__file__).parents[2] / "dsocr" / "nano"


def micro_config() -> dict[str, Any]:
    """nano's own, made small."""
    config = json.loads((NANO / "config.json").read_text())
    language = {"hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 8, "num_hidden_layers": 2}
    language |= {"num_attention_heads": 2, "num_key_value_heads": 2, "n_routed_experts": 4, "first_k_dense_replace": 1}
    config |= language
    config["language_config"] |= language
    width = config["vision_config"]["width"]
    width["sam_vit_b"] |= {"width": 16, "layers": 1, "heads": 2, "neck_channels": 8, "downsample_channels": [8, 16]}
    width["clip-l-14-224"] |= {"width": 16, "layers": 1, "heads": 2, "mlp_width": 16}
    return config


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer(NANO / "tokenizer.json")


@pytest.fixture(scope="session")
def micro(tmp_path_factory, tokenizer) -> Path:
    """A checkpoint of the micro size with random weights."""
    from dsocr.model.weights import save_network

    folder = tmp_path_factory.mktemp("micro")
    (folder / "config.json").write_text(json.dumps(micro_config()))
    (folder / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
    torch.manual_seed(3)
    save_network(
        new_network(parse_config(micro_config()), tokenizer.image, torch.device("cpu")), folder / "model.safetensors"
    )
    return folder


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory) -> Path:
    """Ten small pages of one word each."""
    folder = tmp_path_factory.mktemp("pairs")
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    for number, word in enumerate(words):
        image = Image.new("RGB", (320, 64), "white")
        ImageDraw.Draw(image).text((20, 10), word, fill="black", font=ImageFont.load_default(36))
        image.save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(word + "\n")
    return folder


@pytest.fixture(scope="session")
def shop(tokenizer, pair_folder) -> Workshop:
    try:
        fonts = find_fonts()
    except InputError:
        pytest.skip("no fonts on this machine")
    return Workshop(tokenizer, collect_text(), fonts, find_pairs(pair_folder))


@pytest.fixture
def trainer(shop, tmp_path) -> Callable[..., Trainer]:
    """`trainer(stage, …, lora=2)`: a new network in training, in a folder of its own or the one given."""

    def make(*stages: Stage, folder: Path = tmp_path, **asked: Any) -> Trainer:
        folder.mkdir(exist_ok=True)
        recipe = Recipe(folder=folder, stage=stages, pairs=Path("pairs"), seed=7, **asked)
        recipe.check()
        torch.manual_seed(7)
        network = new_network(parse_config(micro_config()), shop.tokenizer.image, torch.device("cpu"))
        made = Trainer(network, recipe, replace(shop), Log(folder, lambda _: None), None)
        if stages:
            made.begin(stages[0])
        return made

    return make
