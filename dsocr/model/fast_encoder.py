"""DeepEncoder at speed: on a CPU its layers on the compiled core, on a GPU its tables remembered."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor, nn

from dsocr.kernels.library import core, level
from dsocr.kernels.packed_linear import PackedLinear
from dsocr.kernels.sheet_attention import HEAD_DIMS, sheet_attention
from dsocr.model.clip import ClipLayer, quick_gelu
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.model.sam import SamLayer, stretch_table

# What the core attends over faster than PyTorch, by its level. Other processors than x86 have not been tried.
_FAST = {
    "avx512": (torch.bfloat16, torch.float32),
    "avx512-vnni": (torch.float32,),
    "avx2": (torch.float32,),
}


def speed_up_encoder(encoder: DeepEncoder) -> bool:
    """Put fast layers in the place of the plain ones, which are then gone; False if nothing can be done.

    For reading only: neither training nor saving knows the fast layers. float32 stays float32: what is computed differs
    in its last bits.
    """
    if encoder.newline.is_cuda:
        remember_tables(encoder)
        return True
    library = core()
    if library is None or encoder.newline.dtype not in _FAST.get(level() or "", ()) or not can_speed_up(encoder):
        return False
    for layers in (encoder.sam.layers, encoder.clip.layers):
        for index, layer in enumerate(layers):
            if isinstance(layer, SamLayer):
                layers[index] = FastSamLayer(layer, library)
            elif isinstance(layer, ClipLayer):
                layers[index] = FastClipLayer(layer, library)
    remember_tables(encoder)
    return True


def remember_tables(encoder: DeepEncoder) -> None:
    """What stands for places and distances is worked out once for each size of a view; the weights must not change."""
    for stage in (encoder.sam, encoder.clip):
        stage.positions_for = cache(stage.positions_for)  # type: ignore[method-assign]
    for layer in encoder.sam.layers:
        if isinstance(layer, SamLayer):
            attention = layer.attention
            attention.tables_for = cache(attention.tables_for)  # type: ignore[method-assign]


def can_speed_up(encoder: DeepEncoder) -> bool:
    """Whether the weights are on the CPU and all heads of a width that the core knows."""
    dims = {layer.attention.row_table.shape[1] for layer in encoder.sam.layers if isinstance(layer, SamLayer)}
    dims |= {layer.out.in_features // layer.heads for layer in encoder.clip.layers if isinstance(layer, ClipLayer)}
    return bool(dims) and dims <= set(HEAD_DIMS) and encoder.newline.device.type == "cpu"


class FastSamLayer(nn.Module):
    """A `SamLayer` that never cuts its sheet: the core finds the windows itself."""

    def __init__(self, layer: SamLayer, library: ctypes.CDLL) -> None:
        super().__init__()
        self.library = library
        self.window, self.heads = layer.window, layer.attention.heads
        self.attention_norm, self.mlp_norm = layer.attention_norm, layer.mlp_norm
        self.qkv, self.out = PackedLinear(layer.attention.qkv), PackedLinear(layer.attention.out)
        self.mlp_in, self.mlp_out = PackedLinear(layer.mlp_in), PackedLinear(layer.mlp_out)
        self.row_table, self.column_table = layer.attention.row_table, layer.attention.column_table

    def forward(self, sheet: Tensor) -> Tensor:
        """[b, h, w, width] → the same shape."""
        _, rows, columns, _ = sheet.shape
        tables = (
            stretch_table(self.row_table, self.window or rows),
            stretch_table(self.column_table, self.window or columns),
        )
        qkv = self.qkv(self.attention_norm(sheet))
        outside = self.qkv.bias  # q, k and v of the zeros that fill up a window
        attended = sheet_attention(self.library, qkv, outside, tables, self.heads, self.window)
        sheet = self.out(attended).add_(sheet)
        return self.mlp_out(self.mlp_in.gelu(self.mlp_norm(sheet))).add_(sheet)


class FastClipLayer(nn.Module):
    """A `ClipLayer` with packed weights."""

    def __init__(self, layer: ClipLayer, library: ctypes.CDLL) -> None:
        super().__init__()
        self.library, self.heads = library, layer.heads
        self.attention_norm, self.mlp_norm = layer.attention_norm, layer.mlp_norm
        self.qkv, self.out = PackedLinear(layer.qkv), PackedLinear(layer.out)
        self.mlp_in, self.mlp_out = PackedLinear(layer.mlp_in), PackedLinear(layer.mlp_out)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, width] → the same shape."""
        line = self.qkv(self.attention_norm(tokens))[:, None]  # a sheet of one row
        attended = sheet_attention(self.library, line, self.qkv.bias, None, self.heads)[:, 0]
        tokens = self.out(attended).add_(tokens)
        return self.mlp_out(quick_gelu(self.mlp_in(self.mlp_norm(tokens)))).add_(tokens)
