"""The losses' gradients are those that finite differences give, for every part of the network and every pair."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from dsocr.pages.modes import get_mode
from dsocr.pages.tiling import make_views
from dsocr.training.batches import crop_batch, pair_batch
from dsocr.training.losses import balance, crop_loss, lay_out, page_loss, see
from dsocr.training.recipe import Stage
from dsocr.training.sheets.loss import sheet_loss

NOTES = Stage("notes", 4, 1e-3, "notes", modes={"tiny": 1.0}, sam=True, dense=0.5, guide=0.5)
CROPS = Stage("crops", 4, 1e-3, "crops", batch=1, sam=True, decoder=False, crops={128: 1.0})
SHEETS = Stage("sheets", 4, 1e-3, "sheets", kinds={"tiny": 1.0}, sam=True, dense=0.5, guide=0.5)
PAIRS = Stage("pairs", 4, 1e-3, "pairs", batch=2, modes={"tiny": 1.0}, sam=True)


@pytest.fixture
def exact(monkeypatch) -> None:
    """What the network computes in float32 on purpose is float64, or differences would drown in rounding."""
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize(("stage", "lora"), [(NOTES, 0), (CROPS, 0), (PAIRS, 2), (SHEETS, 0)])
def test_gradients_are_those_of_finite_differences(trainer, exact, stage, lora):
    run = trainer(stage, lora=lora, start="nano")
    run.network.double(), run.heads.double()
    for name, p in run.network.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(p, std=0.3)  # pairs that have learned something
    loss = loss_of(run, stage)
    loss().backward()
    parts = {}
    for name, p in [*run.network.named_parameters(), *run.heads.named_parameters()]:
        if p.grad is not None:
            parts.setdefault(".".join(name.split(".")[:2]), []).append(p)
    expected = {"deep_encoder.sam", "deep_encoder.clip"} | ({"decoder.layers"} if stage.decoder else set())
    assert expected <= set(parts)
    for name, parameters in parts.items():
        along = [direction(p) for p in parameters]
        slope = sum((p.grad * way).sum().item() for p, way in zip(parameters, along, strict=True))
        assert difference(loss, parameters, along) == pytest.approx(slope, rel=1e-4), name


def loss_of(run, stage: Stage):
    """The loss of one batch, as often as it is asked for."""
    if stage.show == "crops":
        crops = crop_batch(random.Random(0), run.shop, 1, 128, (1.0, 1.5))
        return lambda: crop_loss(run.network, run.heads, crops, stage)[0]
    if stage.show == "sheets":
        sheets = run.sheets(stage, 1)  # of number 0, a router's choice is too close to call
        return lambda: sheet_loss(run.network, run.heads, sheets, stage, 1.0)[0]
    batch, eye = run.pages(stage, 0), run.network.deep_encoder
    forced = torch.zeros(len(batch.layouts), dtype=torch.bool)
    return lambda: page_loss(run.network, run.heads, see(eye, batch, learns=True), batch, stage, forced)[0]


def direction(p: torch.nn.Parameter) -> torch.Tensor:
    """A way to go in which the loss grows by one, so that no tensor's mistake hides behind another's gradient."""
    along = torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(p.numel()))
    slope = (p.grad * along).sum()
    # Keys' biases have no gradient but rounding: attention does not see what all keys share.
    return along / slope if slope.abs() > 1e-7 else torch.zeros_like(along)


@torch.no_grad()
def difference(loss, parameters, along, step: float = 1e-7) -> float:
    """How fast the loss grows along a direction."""
    for p, way in zip(parameters, along, strict=True):
        p.add_(step * way)
    more = loss().item()
    for p, way in zip(parameters, along, strict=True):
        p.sub_(2 * step * way)
    less = loss().item()
    for p, way in zip(parameters, along, strict=True):
        p.add_(step * way)
    return (more - less) / (2 * step)


def test_a_page_in_training_is_laid_out_as_in_reading(trainer, shop):
    run = trainer(PAIRS)
    large = replace(shop.pairs[0], image=shop.pairs[0].open().resize((1300, 700)))
    batch = pair_batch(random.Random(0), shop, [shop.pairs[1], large], get_mode("gundam"))
    eye = run.network.deep_encoder
    features = see(eye, batch, learns=False)
    rows = lay_out(batch, eye.fuse(features.overviews), eye.fuse(features.tiles), eye)
    pages = [make_views(pair.open(), get_mode("gundam")) for pair in (shop.pairs[1], large)]
    with torch.no_grad():
        assert torch.allclose(rows, torch.cat(run.network.encode_many(pages)), atol=1e-4)


def test_a_page_costs_what_the_network_thinks_of_its_text(trainer, shop):
    run = trainer(PAIRS, precision="float32")
    stage = replace(PAIRS, balance=0.0)
    batch = run.pages(stage, 0)
    features = see(run.network.deep_encoder, batch, learns=False)
    loss, _ = page_loss(run.network, run.heads, features, batch, stage, torch.zeros(2, dtype=torch.bool))
    vision = lay_out(
        batch, run.network.deep_encoder.fuse(features.overviews), torch.zeros(0, 1, 32), run.network.deep_encoder
    )
    logits = run.network(batch.ids, vision)
    told = batch.targets >= 0
    wanted = torch.nn.functional.cross_entropy(logits[told], batch.targets[told])
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_balance_is_one_when_the_router_is_even(trainer):
    moe = trainer(PAIRS).network.decoder.layers[1].ffn
    torch.nn.init.zeros_(moe.router.weight)
    assert balance(moe, torch.randn(1, 50, 32)).item() == pytest.approx(1.0, abs=1e-5)


def test_balance_falls_when_it_is_followed(trainer):
    moe = trainer(PAIRS).network.decoder.layers[1].ffn
    moe.router.weight.requires_grad_(True)
    # Tokens with a mean of their own crowd on few experts, as real ones do.
    x = torch.randn(1, 200, 32, generator=torch.Generator().manual_seed(0)) + 1.0
    optimiser = torch.optim.Adam([moe.router.weight], lr=0.05)
    first = balance(moe, x).item()
    for _ in range(30):
        optimiser.zero_grad()
        balance(moe, x).backward()
        optimiser.step()
    assert balance(moe, x).item() < min(first, 1.2)
