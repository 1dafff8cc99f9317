"""The stage that looks closely: SAM's windowed transformer over 16-pixel patches, then 16 tokens become one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.amx_attention import amx_attention, takes_attention
from dsocr.model.config import PATCH_PX, SamConfig

_SMALL_SHEET = 256  # places; a window has 196


class Sam(nn.Module):
    """Pixels [b, 3, s, s] → features [b, channels, s/64, s/64]."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, config.width, PATCH_PX, stride=PATCH_PX)
        self.positions = nn.Parameter(torch.zeros(1, config.table_side, config.table_side, config.width))
        self.layers = nn.ModuleList(SamLayer(config, index in config.global_layers) for index in range(config.layers))
        self.neck = Neck(config.width, config.neck_width)
        first, second = config.compressor_widths
        self.compress_1 = nn.Conv2d(config.neck_width, first, 3, stride=2, padding=1, bias=False)
        self.compress_2 = nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """[b, 3, s, s] → [b, channels, s/64, s/64]."""
        return self.compress(self.patches(pixels))

    def patches(self, pixels: Tensor) -> Tensor:
        """[b, 3, s, s] → [b, s/16, s/16, width]: the patches as the transformer leaves them."""
        sheet: Tensor = self.patch(pixels).permute(0, 2, 3, 1)
        sheet = sheet + self.positions_for(sheet.shape[1])
        for layer in self.layers:
            sheet = layer(sheet)
        return sheet

    def positions_for(self, side: int) -> Tensor:
        """What stands for the places of a sheet: [1, side, side, width]."""
        return resize_table(self.positions, side)

    def compress(self, sheet: Tensor) -> Tensor:
        """Patches [b, n, n, width] → [b, channels, n/4, n/4]."""
        # published quirk: no activation between or after the two convolutions.
        compressed: Tensor = self.compress_2(self.compress_1(self.neck(sheet)))
        return compressed


class SamLayer(nn.Module):
    """One pre-norm layer, attending in windows or over the whole sheet."""

    def __init__(self, config: SamConfig, everywhere: bool) -> None:
        super().__init__()
        self.window = 0 if everywhere else config.window
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.attention = RelativeAttention(
            config.width, config.heads, config.table_side if everywhere else config.window
        )
        self.mlp_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp_in = nn.Linear(config.width, 4 * config.width)
        self.mlp_out = nn.Linear(4 * config.width, config.width)

    def forward(self, sheet: Tensor) -> Tensor:
        """[b, h, w, width] → the same shape."""
        normed = self.attention_norm(sheet)
        if self.window:
            _, rows, columns, _ = sheet.shape
            windows = cut_windows(normed, self.window)
            attended = join_windows(self.attention(windows), self.window, rows, columns)
        else:
            attended = self.attention(normed)
        sheet = sheet + attended
        result: Tensor = sheet + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(sheet))))
        return result


class RelativeAttention(nn.Module):
    """Attention whose logits gain q·R for the row distance and q·R for the column distance."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.row_table = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.column_table = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, sheet: Tensor) -> Tensor:
        """[b, h, w, width] → the same shape."""
        batch, rows, columns, width = sheet.shape
        qkv = self.qkv(sheet).reshape(batch, rows * columns, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 3, 0, 1, 4)  # each [heads, b, h·w, head dim]
        by_row, by_column = self.tables_for(rows, columns)
        # The bias is as large as the attention matrix: over a whole sheet only one head's is alive.
        together = self.heads if _fuses(q) or takes_attention(q) or rows * columns <= _SMALL_SHEET else 1
        parts = zip(q.split(together), k.split(together), v.split(together), strict=True)
        attended = [self._attend(*part, by_row, by_column) for part in parts]
        joined = torch.cat(attended).permute(1, 2, 0, 3)  # [b, h·w, heads, head dim]
        result: Tensor = self.out(joined.reshape(batch, rows, columns, width))
        return result

    def tables_for(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Both tables spread over a sheet: [rows, rows, head dim] and [columns, columns, head dim]."""
        return spread_table(self.row_table, rows), spread_table(self.column_table, columns)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
        """Some heads' q, k, v [heads, b, h·w, head dim] → what they gather, of the same shape."""
        rows, columns = len(by_row), len(by_column)
        if _fuses(q):  # which wants a width that is a multiple of eight: columns that are nowhere fill it up
            by_column = F.pad(by_column, (0, 0, 0, -(q.shape[-1] + rows + columns) % 8))
        row_bias, column_bias = biases(q, by_row, by_column)
        # On a CPU the fused attention takes a bias at speed only in float32, and where no gradient is wanted.
        if not _fuses(q) and q.dtype == torch.float32 and not torch.is_grad_enabled():
            bias = row_bias[..., :, None] + column_bias[..., None, :]  # [heads, b, h, w, h, w]
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(4).flatten(2, 3))
        asking, held = join_bias(q, k, row_bias, column_bias)
        if _fuses(q):
            return attend_fused(asking, held, v)
        if takes_attention(asking):
            return amx_attention(asking, held, v, 1.0)
        weights = (asking @ held.transpose(-1, -2)).softmax(-1).to(v.dtype)
        return weights @ v


def biases(q: Tensor, by_row: Tensor, by_column: Tensor) -> tuple[Tensor, Tensor]:
    """What the tables add for rows and columns of keys: [heads, b, h, w, h] and [heads, b, h, w, w]."""
    # published quirk: the unscaled q meets the tables.
    at = q.reshape(*q.shape[:2], len(by_row), len(by_column), -1)
    return torch.einsum("nbyxc,ykc->nbyxk", at, by_row), torch.einsum("nbyxc,xkc->nbyxk", at, by_column)


def join_bias(q: Tensor, k: Tensor, row_bias: Tensor, column_bias: Tensor) -> tuple[Tensor, Tensor]:
    """q and k [heads, b, h·w, head dim], wider: a place says its row and its column one-hot.

    One product then gives the scaled q·k and both biases.
    """
    asking = torch.cat([q * q.shape[-1] ** -0.5, row_bias.flatten(2, 3), column_bias.flatten(2, 3)], dim=-1)
    return asking, torch.cat([k, _whereabouts(row_bias, column_bias).expand(*k.shape[:2], -1, -1)], dim=-1)


def attend_fused(asking: Tensor, held: Tensor, v: Tensor) -> Tensor:
    """softmax(asking · heldᵀ) · v without the matrix between: [.., n, joint], [.., n, joint], [.., n, dim] → as v.

    The fused attention of a GPU wants one width for all three: zeros fill up v.
    """
    joint, dim = asking.shape[-1], v.shape[-1]
    wide = F.pad(v, (0, joint - dim))
    return F.scaled_dot_product_attention(asking, held, wide, scale=1.0)[..., :dim]


class Neck(nn.Module):
    """Two convolutions, each followed by a norm over channels: [b, h, w, width] → [b, neck, h, w]."""

    def __init__(self, width: int, neck_width: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, neck_width, 1, bias=False)
        self.narrow_norm = nn.LayerNorm(neck_width, eps=1e-6)
        self.mix = nn.Conv2d(neck_width, neck_width, 3, padding=1, bias=False)
        self.mix_norm = nn.LayerNorm(neck_width, eps=1e-6)

    def forward(self, sheet: Tensor) -> Tensor:
        """[b, h, w, width] → [b, neck, h, w]."""
        sheet = _norm_channels(self.narrow(sheet.permute(0, 3, 1, 2)), self.narrow_norm)
        return _norm_channels(self.mix(sheet), self.mix_norm)


def resize_table(table: Tensor, side: int) -> Tensor:
    """A learned position table [1, n, n, width] at another side: [1, side, side, width].

    Antialiased bicubic in both directions, as the checkpoint was trained; without antialiasing even an
    enlarged table comes out differently (PyTorch changes the cubic's parameter with the flag).
    """
    if table.shape[1] == side:
        return table
    grid = table.permute(0, 3, 1, 2).float()
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return grid.to(table.dtype).permute(0, 2, 3, 1)


def spread_table(table: Tensor, side: int) -> Tensor:
    """A relative table [2n - 1, dim] as [side, side, dim]: entry (a, b) is the row for distance a - b."""
    at = torch.arange(side, device=table.device)
    return stretch_table(table, side)[at[:, None] - at[None, :] + side - 1]


def stretch_table(table: Tensor, side: int) -> Tensor:
    """A relative table [2n - 1, dim] at another side: [2 · side - 1, dim], along straight lines."""
    if len(table) == 2 * side - 1:
        return table
    line = table.float().T[None]  # [1, dim, 2n - 1]
    line = F.interpolate(line, size=2 * side - 1, mode="linear", align_corners=False)
    return line[0].T.to(table.dtype)


def cut_windows(sheet: Tensor, window: int) -> Tensor:
    """[b, h, w, width] → [b · windows, window, window, width], zero-padded below and on the right."""
    batch, rows, columns, width = sheet.shape
    # published quirk: the padding is not masked; its keys and values are the qkv bias.
    sheet = F.pad(sheet, (0, 0, 0, -columns % window, 0, -rows % window))
    down, across = sheet.shape[1] // window, sheet.shape[2] // window
    sheet = sheet.reshape(batch, down, window, across, window, width).transpose(2, 3)
    return sheet.reshape(-1, window, window, width)


def join_windows(windows: Tensor, window: int, rows: int, columns: int) -> Tensor:
    """The way back from `cut_windows`: [b, rows, columns, width]."""
    down, across = -(-rows // window), -(-columns // window)
    sheet = windows.reshape(-1, down, across, window, window, windows.shape[-1]).transpose(2, 3)
    sheet = sheet.reshape(-1, down * window, across * window, windows.shape[-1])
    return sheet[:, :rows, :columns]


def _fuses(q: Tensor) -> bool:
    """Whether the attention runs as one kernel that takes no bias; a CPU is faster with two products and a softmax."""
    return q.is_cuda


def _whereabouts(row_bias: Tensor, column_bias: Tensor) -> Tensor:
    """Row and column of each place, one-hot and as wide as the biases: [h · w, both widths]."""
    rows, columns = row_bias.shape[2:4]
    row = torch.eye(rows, row_bias.shape[-1], device=row_bias.device, dtype=row_bias.dtype)
    column = torch.eye(columns, column_bias.shape[-1], device=row_bias.device, dtype=row_bias.dtype)
    both = [row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)]
    return torch.cat(both, dim=-1).flatten(0, 1)


def _norm_channels(sheet: Tensor, norm: nn.Module) -> Tensor:
    normed: Tensor = norm(sheet.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normed
