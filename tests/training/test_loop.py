"""The training loop on a network of a few thousand parameters."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsocr.errors import InputError
from dsocr.model.tokenizer import Tokenizer
from dsocr.model.weights import published_name
from dsocr.ocr import load
from dsocr.pages.modes import get_mode
from dsocr.training.batches import Workshop, cell_labels, crop_batch, reading_batch
from dsocr.training.drawing import find_fonts
from dsocr.training.loop import Trainer, balance, rate
from dsocr.training.recipe import Stage, nano_config
from dsocr.training.text import ALPHABET, collect_text

NANO = Path(__file__).parents[2] / "dsocr" / "nano"
LOOK = Stage("look", 3, 2, 1e-3, encoder=True, decoder=False, dense=1.0, crops={128: 1.0})
READ = Stage("read", 3, 1, 1e-3, encoder=True, decoder=True, modes={"tiny": 1.0}, dense=0.5, guide=0.5)


@pytest.fixture(scope="module")
def shop() -> Workshop:
    try:
        fonts = find_fonts()
    except InputError:
        pytest.skip("no fonts on this machine")
    return Workshop(collect_text(), fonts, Tokenizer(NANO / "tokenizer.json"))


def micro(vocab: int) -> dict[str, Any]:
    config = nano_config(vocab)
    small = {"hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 8, "num_hidden_layers": 2}
    config |= {
        **small,
        "first_k_dense_replace": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "n_routed_experts": 4,
    }
    config["language_config"] = config["language_config"] | {key: config[key] for key in small}
    width = config["vision_config"]["width"]
    width["sam_vit_b"] |= {"width": 16, "layers": 1, "heads": 2, "neck_channels": 8, "downsample_channels": [8, 16]}
    width["clip-l-14-224"] |= {"width": 16, "layers": 1, "heads": 2, "mlp_width": 16}
    return config


def trainer(shop: Workshop, folder: Path) -> Trainer:
    return Trainer(micro(len(shop.tokenizer)), shop, folder, seed=7, device=torch.device("cpu"))


def test_a_killed_run_goes_on_to_the_same_weights(shop, tmp_path):
    stages = [LOOK, READ]
    whole = trainer(shop, tmp_path / "whole")
    whole.run(stages, lambda _: None)
    cut = trainer(shop, tmp_path / "cut")
    cut.stage, cut.optimiser = 0, cut._make_optimiser(LOOK)
    cut.train_step(LOOK)
    cut.step = 1
    cut.save()
    again = trainer(shop, tmp_path / "cut")
    again.run(stages, lambda _: None)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), published_name(name)


def test_what_it_saves_is_a_checkpoint(shop, tmp_path):
    run = trainer(shop, tmp_path)
    run.save()
    (tmp_path / "config.json").write_text(json.dumps(run.config))
    (tmp_path / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
    assert load(tmp_path).network.config == run.network.config


def test_a_run_can_start_from_a_checkpoint(shop, tmp_path):
    run = trainer(shop, tmp_path)
    run.save()
    other = Trainer(run.config, shop, tmp_path / "other", seed=8, device=torch.device("cpu"))
    other.start_from(tmp_path)
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(tensor.bfloat16(), other.network.state_dict()[name].bfloat16())


def test_a_stage_trains_only_what_it_says(shop, tmp_path):
    run = trainer(shop, tmp_path)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    stage = replace(READ, encoder=False)
    run.optimiser = run._make_optimiser(stage)
    run.train_step(stage)
    changed = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("decoder.") for name in changed)
    assert not any(name.startswith(("deep_encoder.sam", "deep_encoder.clip")) for name in changed)


def test_every_parameter_in_use_has_a_gradient(shop, tmp_path):
    run = trainer(shop, tmp_path)
    loss, _ = run._losses(READ)
    loss.backward()
    idle = {name for name, p in run.network.named_parameters() if p.grad is None}
    # The published patch convolution is never used; an expert that no token chose rests.
    assert {name for name in idle if "experts" not in name} == {"deep_encoder.clip.unused_patch"}


def test_the_targets_are_the_text_and_the_places_hold_it(shop):
    page = reading_batch(random.Random(3), shop, 2, get_mode("small"))
    for row in range(2):
        written = [index for index in page.targets[row].tolist() if index >= 0]
        assert written[-1] == shop.tokenizer.eos
        assert shop.tokenizer.decode(written[:-1]).strip()
        held = page.ids[row][page.places[row][page.known[row]]]
        assert (held == shop.tokenizer.image).all()


def test_labels_stand_where_the_characters_do(shop):
    batch = crop_batch(random.Random(5), shop, 4, 128, (1.0, 1.5))
    assert batch.pixels.shape == (4, 3, 128, 128)
    assert batch.labels.shape == (4, 8, 16)
    assert 0.05 < (batch.labels > 0).float().mean() < 0.9


def test_ink_wins_over_a_space_in_one_cell():
    centres = torch.tensor([[4.0, 8.0], [5.0, 8.0]]).numpy()
    assert cell_labels("a ", centres, 16)[0, 0] == ALPHABET.index("a") + 1


def test_the_rate_warms_up_stays_and_falls():
    stage = replace(LOOK, steps=1000, decay_from=0.5)
    assert rate(0, stage) < rate(30, stage) < rate(100, stage) == rate(400, stage) == 1.0
    assert rate(400, stage) > rate(800, stage) > rate(999, stage) == pytest.approx(0.05)


def test_balance_is_one_when_the_router_is_even(shop, tmp_path):
    moe = trainer(shop, tmp_path).network.decoder.layers[1].ffn
    torch.nn.init.zeros_(moe.router.weight)
    share = balance(moe, torch.randn(1, 50, 32))
    assert share.item() == pytest.approx(1.0, abs=1e-5)
