"""Attention over a sheet on the compiled core, against its plain twin in float32 on the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from dsocr.kernels.amx_attention import has_tiles
from dsocr.kernels.library import core
from dsocr.kernels.sheet_attention import sheet_attention
from dsocr.model.sam import cut_windows, join_windows, spread_table

pytestmark = pytest.mark.skipif(core() is None, reason="the core is not compiled here")
# Sheets, rows, columns, heads, head dim, window: keys that end within a vector, rows that are longer and shorter than
# one, several blocks of keys, windows that reach over the sheet.
SHAPES = [
    (1, 1, 1, 1, 16, 0),
    (1, 1, 1, 1, 64, 0),
    (2, 5, 5, 2, 16, 0),
    (2, 10, 10, 3, 32, 0),
    (1, 14, 14, 2, 64, 0),
    (2, 7, 3, 2, 64, 0),
    (1, 3, 50, 1, 32, 0),
    (1, 40, 40, 2, 64, 0),
    (2, 10, 17, 2, 64, 14),
    (1, 20, 20, 5, 32, 14),
    (1, 16, 9, 2, 16, 4),
]


@pytest.fixture(
    params=[
        (torch.float32, False),
        (torch.bfloat16, False),
        pytest.param((torch.bfloat16, True), marks=pytest.mark.skipif(not has_tiles(), reason="no tiles")),
    ],
    ids=["floats", "bfloat16", "tiles"],
)
def dtype(request, monkeypatch):
    kind, tiles = request.param
    monkeypatch.setattr("dsocr.kernels.sheet_attention.has_tiles", lambda: tiles)
    return kind


def drawn(dtype, sheets, rows, columns, heads, dim, window):
    generator = torch.Generator().manual_seed(rows)
    shapes = (
        (sheets, rows, columns, 3 * heads * dim),
        (3 * heads * dim,),
        (2 * (window or rows) - 1, dim),
        (2 * (window or columns) - 1, dim),
    )
    qkv, outside, *tables = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    return qkv, outside, tuple(tables)


def twin(qkv, outside, tables, heads, window=0):
    """Windows cut and joined by the network's own functions, the whole bias and all logits written out."""
    rows, columns = qkv.shape[1:3]
    sheets = cut_windows(qkv.float() - outside.float(), window) + outside.float() if window else qkv.float()
    count, down, across, _ = sheets.shape
    q, k, v = sheets.reshape(count, down * across, 3, heads, -1).permute(2, 0, 3, 1, 4)
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if tables:
        at = q.reshape(count, heads, down, across, -1)
        by_row = torch.einsum("nhyxd,ykd->nhyxk", at, spread_table(tables[0].float(), down))
        by_column = torch.einsum("nhyxd,xkd->nhyxk", at, spread_table(tables[1].float(), across))
        logits = logits + (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
    seen = (logits.softmax(-1) @ v).transpose(1, 2).reshape(count, down, across, -1)
    return join_windows(seen, window, rows, columns) if window else seen


def close(found, wanted, logits=1):
    """What rounded weights and results may differ by: 2⁻⁸ of the largest number in bfloat16, far less on the whole.

    logits: how much larger they are than usual; floats differ by their rounding.
    """
    most, norm = (2**-8, 3e-3) if found.dtype == torch.bfloat16 else (1e-5 * logits, 2e-6 * logits)
    assert_close(found.float(), wanted, atol=most * float(wanted.abs().max()), rtol=0)
    assert (found.float() - wanted).norm() < norm * wanted.norm()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_place_gathers_what_the_plain_twin_does(library, dtype, shape):
    qkv, outside, tables = drawn(dtype, *shape)
    heads, window = shape[3], shape[5]
    close(sheet_attention(library, qkv, outside, tables, heads, window), twin(qkv, outside, tables, heads, window))


@pytest.mark.parametrize("shape", [(2, 1, 101, 16, 64, 0), (1, 1, 600, 2, 32, 0)], ids=str)
def test_without_tables_there_is_no_bias(library, dtype, shape):
    qkv, outside, _ = drawn(dtype, *shape)
    close(sheet_attention(library, qkv, outside, None, shape[3]), twin(qkv, outside, None, shape[3]))


@pytest.mark.parametrize("dim", [16, 32])
def test_logits_of_any_size_are_answered(library, dtype, dim):
    """Weights fall from one to nothing between neighbours, and the greatest logit comes in the last block."""
    qkv, outside, tables = drawn(dtype, 1, 1, 600, 1, dim, 0)
    qkv[..., dim : 2 * dim] *= torch.linspace(1, 300, 600)[:, None]
    close(sheet_attention(library, qkv, outside, tables, 1), twin(qkv, outside, tables, 1), logits=30)


def test_many_equal_keys_are_as_exact_as_few(library, dtype):
    """A page is blank for the most part, and what fills up windows is all alike."""
    qkv, outside, _ = drawn(dtype, 1, 1, 4096, 1, 32, 0)
    qkv[..., 32:] = qkv[0, 0, 0, 32:]
    close(sheet_attention(library, qkv, outside, None, 1), twin(qkv, outside, None, 1))


@pytest.mark.parametrize("part", range(3), ids=["query", "key", "value"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_hidden_in_floats(library, part, number):
    qkv, outside, _ = drawn(torch.float32, 1, 1, 300, 1, 32, 0)
    qkv[0, 0, 7, 32 * part] = number
    found = sheet_attention(library, qkv, outside, None, 1)
    assert torch.equal(found.isfinite(), twin(qkv, outside, None, 1).isfinite())


@pytest.mark.parametrize("window", [0, 14])
def test_sheets_read_the_same_alone_and_together(library, dtype, window):
    qkv, outside, tables = drawn(dtype, 3, 17, 17, 2, 32, window)
    together = sheet_attention(library, qkv, outside, tables, 2, window)
    alone = [sheet_attention(library, sheet[None], outside, tables, 2, window) for sheet in qkv]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("shape", [(1, 40, 40, 1, 32, 0), (1, 1, 4, 1, 64, 0), (2, 15, 15, 1, 32, 14)], ids=str)
def test_threads_change_nothing(library, dtype, shape):
    qkv, outside, tables = drawn(dtype, *shape)
    before, found = torch.get_num_threads(), []
    for threads in (1, 7):
        torch.set_num_threads(threads)
        found.append(sheet_attention(library, qkv, outside, tables, 1, shape[-1]))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_where_there_are_no_sheets_there_is_nothing_to_do(library, dtype):
    qkv, outside, tables = drawn(dtype, 1, 4, 4, 2, 32, 0)
    assert sheet_attention(library, qkv[:0], outside, tables, 2).shape == (0, 4, 4, 64)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tables": None, "qkv": torch.zeros(1, 2, 2, 96)}, "float32"),
        ({"qkv": torch.zeros(1, 2, 2, 96, dtype=torch.float16)}, "not bfloat16 or float32"),
        ({"heads": 4}, "not 16 or 32 or 64 wide"),
        ({"window": 3}, r"not torch.bfloat16 \[5, 32\]"),
        ({"outside": torch.zeros(95, dtype=torch.bfloat16)}, r"not torch.bfloat16 \[96\]"),
    ],
)
def test_what_the_core_cannot_read_is_refused(change, said):
    qkv, outside, tables = drawn(torch.bfloat16, 1, 2, 2, 1, 32, 0)
    given = {"qkv": qkv, "outside": outside, "tables": tables, "heads": 1, "window": 0, **change}
    with pytest.raises(ValueError, match=said):
        sheet_attention(core(), **given)
