"""Linear layers whose weights lie in the order in which oneDNN multiplies them, packed once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedLinear:
    """What an `nn.Linear` on the CPU computes; the packed weight is the only one that it keeps."""

    def __init__(self, linear: nn.Linear) -> None:
        self.bias = linear.bias
        self.packed = can_pack(linear.weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach()) if self.packed else linear.weight

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return self._multiply(x, "none", "") if self.packed else F.linear(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out], GELU (the exact one) applied before the sums are rounded."""
        if self.packed:
            return self._multiply(x, "gelu", "none")
        return F.gelu(F.linear(x, self.weight, self.bias))

    def _multiply(self, x: Tensor, activation: str, form: str) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, activation, [], form)
        return product


def can_pack(weight: Tensor) -> bool:
    """Whether this PyTorch has the operations, and oneDNN the arithmetic, for this weight."""
    operations = ("_reorder_linear_weight", "_linear_pointwise")
    return (
        all(hasattr(torch.ops.mkldnn, name) for name in operations)
        and weight.device.type == "cpu"
        and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and _packs_bfloat16()))
    )


def _packs_bfloat16() -> bool:
    ask = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return ask is not None and bool(ask())
