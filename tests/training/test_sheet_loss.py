"""The loss of whole pages is that of the plain network, in one pass or in a compiler's pieces."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dsocr.kernels.learned_rows import gate_rows
from dsocr.kernels.library import core
from dsocr.model.moe import MixtureOfExperts
from dsocr.training.losses import balance
from dsocr.training.recipe import Stage
from dsocr.training.sheets import loss as room
from dsocr.training.sheets.batches import look_at, sheet_batch
from dsocr.training.sheets.kinds import KINDS
from dsocr.training.sheets.loss import all_experts, arrange, look, sheet_loss

STAGE = Stage("sheets", 4, 1e-3, "sheets", sam=True, dense=0.5, guide=0.5, balance=0.0)


def drawn(shop, kind, count=2):
    asked = {"weights": None, "characters": KINDS[kind].characters[1] // 2, "corrupted": 0.1, "slips": 0.0}
    return sheet_batch(random.Random(2), shop, kind, count, **asked)


@pytest.mark.parametrize("kind", ["tiny", "notes", "sheets"])
def test_pages_cost_what_they_cost_the_plain_network(trainer, shop, kind):
    run, batch = trainer(STAGE), drawn(shop, kind)
    eye = run.network.deep_encoder
    with torch.no_grad():
        _, shown = sheet_loss(run.network, run.heads, batch, STAGE, 1.0)
        overviews, tiles = look_at(batch, torch.float32)
        wide = eye(overviews)
        close = eye(tiles) if len(tiles) else wide.new_zeros(0, 1, wide.shape[-1])
        parts = close.split(len(close) // len(wide)) if len(close) else [close] * len(wide)
        rows = [
            batch.layout.arrange(overview, part, eye.newline, eye.separator)
            for overview, part in zip(wide, parts, strict=True)
        ]
        logits = run.network(batch.ids, torch.cat(rows))
    torch.testing.assert_close(arrange(batch, wide, close if len(close) else None, eye), torch.stack(rows))
    plain = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100)
    torch.testing.assert_close(shown["loss"], plain, atol=1e-4, rtol=1e-4)
    known = batch.targets >= 0
    assert shown["right"] == pytest.approx((logits.argmax(-1) == batch.targets)[known].float().mean().item())


def test_experts_that_are_all_asked_answer_as_those_that_are_chosen(trainer):
    layer = trainer(STAGE).network.decoder.layers[1].ffn
    assert isinstance(layer, MixtureOfExperts)
    x = torch.randn(40, layer.router.in_features, generator=torch.Generator().manual_seed(1))
    mixed, even = all_experts(layer, x)
    torch.testing.assert_close(mixed, layer(x[None])[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(even, balance(layer, x))


def test_pieces_for_a_compiler_give_the_same_loss_and_gradients(trainer, shop, monkeypatch):
    """As they are compiled, but for the compiler, which takes minutes."""
    run, batch = trainer(STAGE), drawn(shop, "tiny", 4)
    run.network.requires_grad_(True)
    monkeypatch.setattr(room, "_SMALL_STACK", 2)
    stacks = []
    monkeypatch.setattr(room, "_compiled", lambda step: lambda *given: stacks.append(given) or step(*given))

    def learnt(compiled):
        run.network.zero_grad()
        loss, _ = sheet_loss(run.network, run.heads, batch, STAGE, 1.0, compiled=compiled)
        loss.backward()
        return [loss, *(p.grad.clone() for p in run.network.parameters() if p.grad is not None)]

    whole = learnt(compiled=False)
    assert not stacks
    pieces = learnt(compiled=True)
    assert {len(given[1]) for given in stacks if given[1].ndim == 4} == {2}
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["tiny", "sheets"])
def test_the_compiled_core_gives_the_same_loss_and_gradients(trainer, shop, kind, monkeypatch):
    """As plain products in bfloat16 do, both beside float32."""
    if core() is None:
        pytest.skip("the core is not compiled here")
    run, batch = trainer(STAGE), drawn(shop, kind)
    run.network.requires_grad_(True)

    def learnt(in_bfloat16):
        run.network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            loss, _ = sheet_loss(run.network, run.heads, batch, STAGE, 1.0)
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in run.network.parameters() if p.grad is not None])

    exact, right = learnt(in_bfloat16=False)
    taken = []
    monkeypatch.setattr(room, "gate_rows", lambda *given: taken.append(given) or gate_rows(*given))
    fast, seen = learnt(in_bfloat16=True)
    assert taken
    monkeypatch.setattr(room, "learns_rows", lambda rows: False)
    for module in ("clip", "decoder", "sam"):
        monkeypatch.setattr(f"dsocr.model.{module}.takes_attention", lambda q: False)
    plain, other = learnt(in_bfloat16=True)
    assert fast == pytest.approx(exact, rel=0.01)
    assert plain == pytest.approx(exact, rel=0.01)
    assert (seen - right).norm() < 1.5 * (other - right).norm() + 0.01 * right.norm()


def test_what_a_resting_eye_has_seen_serves_again(trainer, shop):
    stage = replace(STAGE, sam=False)
    run, batch = trainer(stage), drawn(shop, "sheets")
    looked = look(run.network.deep_encoder, batch, learns=False)
    assert looked.sheet is None
    once, shown = sheet_loss(run.network, run.heads, batch, stage, 1.0)
    again, _ = sheet_loss(run.network, run.heads, batch, stage, 1.0, looked=looked)
    assert again.item() == once.item()
    assert "token" in shown
    assert "patch" not in shown


def test_places_that_nobody_fills_teach_nothing(trainer, shop):
    run, batch = trainer(STAGE), drawn(shop, "tiny", 3)
    run.network.requires_grad_(True)
    assert batch.trimmed().ids.shape[1] < batch.ids.shape[1]

    def learnt(given):
        run.network.zero_grad()
        loss, shown = sheet_loss(run.network, run.heads, given, STAGE, 1.0)
        loss.backward()
        return [loss, shown["right"], *(p.grad.clone() for p in run.network.parameters() if p.grad is not None)]

    for whole, short in zip(learnt(batch), learnt(batch.trimmed()), strict=True):
        torch.testing.assert_close(whole, short, atol=1e-5, rtol=1e-3)


def test_what_trains_the_eye_alone_fades_away(trainer, shop):
    run, batch = trainer(STAGE), drawn(shop, "tiny")
    loss, shown = sheet_loss(run.network, run.heads, batch, STAGE, 0.0)
    assert loss.item() == pytest.approx(shown["loss"].item())
    assert not {"patch", "token", "gaze 1"} & set(shown)
