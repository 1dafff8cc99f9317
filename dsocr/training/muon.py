"""Muon: a matrix is moved along its orthogonalised momentum; all other weights as AdamW moves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

_STEPS = ((3.4445, -4.7750, 2.0315),) * 5  # of Newton and Schulz, with the coefficients of Jordan (2024)
_MOMENTUM = 0.95
_BETAS = (0.9, 0.98)
_EPSILON = 1e-8


class Muon(torch.optim.Optimizer):
    """Groups with matrices = True hold weights of two dimensions or more, taken as [first, all others].

    An orthogonalised step is scaled to the size of one of AdamW's (0.2 · sqrt(larger side), Liu et al. 2025), so that
    one learning rate serves both. Matrices of one shape are orthogonalised together.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]], lr: float, *, bfloat16: bool = False) -> None:
        """bfloat16: for the products that orthogonalise."""
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        super().__init__([dict(group) for group in groups], {"lr": lr, "weight_decay": 0.0, "matrices": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step from the gradients; a weight without one stays."""
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if not moving:
                continue
            if group["weight_decay"]:
                torch._foreach_mul_(moving, 1 - group["lr"] * group["weight_decay"])
            (self._move_matrices if group["matrices"] else self._move)(moving, group["lr"])

    def _move_matrices(self, moving: list[Tensor], rate: float) -> None:
        momenta = self._kept(moving, "momentum")
        gradients = [p.grad for p in moving if p.grad is not None]
        torch._foreach_mul_(momenta, _MOMENTUM)
        torch._foreach_add_(momenta, gradients)
        ahead = torch._foreach_add(gradients, momenta, alpha=_MOMENTUM)
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, each in enumerate(ahead):
            alike.setdefault(tuple(each.shape), []).append(index)
        for shape, indices in alike.items():
            straight = orthogonalised(torch.stack([ahead[index].flatten(1) for index in indices]), self._dtype)
            scale = 0.2 * max(shape[0], torch.Size(shape[1:]).numel()) ** 0.5
            steps = [each.reshape(shape) for each in straight.to(moving[indices[0]].dtype)]
            torch._foreach_add_([moving[index] for index in indices], steps, alpha=-rate * scale)

    def _move(self, moving: list[Tensor], rate: float) -> None:
        first, second = self._kept(moving, "first"), self._kept(moving, "second")
        gradients = [p.grad for p in moving if p.grad is not None]
        torch._foreach_lerp_(first, gradients, 1 - _BETAS[0])
        torch._foreach_mul_(second, _BETAS[1])
        torch._foreach_addcmul_(second, gradients, gradients, 1 - _BETAS[1])
        for p in moving:
            self.state[p]["steps"] = self.state[p].get("steps", 0) + 1
        count = self.state[moving[0]]["steps"]
        below = torch._foreach_sqrt(second)
        torch._foreach_div_(below, (1 - _BETAS[1] ** count) ** 0.5)
        torch._foreach_add_(below, _EPSILON)
        torch._foreach_addcdiv_(moving, first, below, -rate / (1 - _BETAS[0] ** count))

    def _kept(self, moving: list[Tensor], name: str) -> list[Tensor]:
        for p in moving:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p)
        return [self.state[p][name] for p in moving]


def orthogonalised(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """[n, a, b] → about the nearest matrices with singular values of one, by Newton and Schulz."""
    wide = matrices.shape[1] > matrices.shape[2]
    x = (matrices.transpose(1, 2) if wide else matrices).to(dtype)
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).to(x.dtype)
    for a, b, c in _STEPS:
        square = x @ x.transpose(1, 2)
        mixed = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, mixed, x, beta=a)
    straight: Tensor = x.transpose(1, 2) if wide else x
    return straight
