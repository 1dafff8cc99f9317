"""Muon: orthogonalised steps of one size, AdamW's for the rest, and a state that goes on."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from dsocr.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 16, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    straight = orthogonalised(matrices)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    nearest = left @ right
    found = torch.linalg.svdvals(straight)
    assert found.min() > 0.3  # the least of a square matrix is the hardest
    assert found.max() < 1.3
    assert (straight * nearest).sum() / (straight.norm() * nearest.norm()) > 0.97
    assert (values > 0).all()


def quadratic(optimiser_of, steps: int):
    """Weights that are to become others: a matrix, a stack of kernels and a vector."""
    torch.manual_seed(2)
    goals = [torch.randn(12, 6), torch.randn(4, 3, 2, 2), torch.randn(5)]
    weights = [torch.nn.Parameter(torch.zeros_like(goal)) for goal in goals]
    optimiser = optimiser_of(weights)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = sum((weight - goal).square().sum() for weight, goal in zip(weights, goals, strict=True))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return weights, losses


def muon(weights):
    return Muon([{"params": weights[:2], "matrices": True}, {"params": weights[2:]}], lr=0.05)


def test_it_goes_downhill():
    _, losses = quadratic(muon, 120)
    assert losses[-1] < 0.02 * losses[0]


def test_weights_that_are_no_matrices_move_as_adamw_moves_them():
    plain, _ = quadratic(lambda weights: torch.optim.AdamW(weights, 0.05, (0.9, 0.98), weight_decay=0.0), 20)
    own, _ = quadratic(lambda weights: Muon([{"params": weights}], lr=0.05), 20)
    for weight, wanted in zip(own, plain, strict=True):
        torch.testing.assert_close(weight, wanted)


def test_a_matrix_moves_by_the_rate_whatever_its_gradient_is():
    for scale in (1e-3, 1e3):
        weight = torch.nn.Parameter(torch.zeros(32, 64))
        optimiser = Muon([{"params": [weight], "matrices": True}], lr=1e-2)
        weight.grad = scale * torch.randn(32, 64, generator=torch.Generator().manual_seed(3))
        optimiser.step()
        size = weight.detach().square().mean().sqrt()
        assert 0.5 * 0.2e-2 < size < 1.5 * 0.2e-2


def test_its_state_goes_on():
    whole, _ = quadratic(muon, 2)
    first = muon(whole)
    for weight in whole:
        weight.grad = torch.ones_like(weight)
    first.step()
    copies = [torch.nn.Parameter(weight.detach().clone()) for weight in whole]
    second = muon(copies)
    second.load_state_dict(deepcopy(first.state_dict()))
    for weight in (*whole, *copies):
        weight.grad = torch.full_like(weight, 0.5)
    first.step()
    second.step()
    for weight, copy in zip(whole, copies, strict=True):
        assert torch.equal(weight, copy)
