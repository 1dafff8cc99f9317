"""The compiled decoder: a whole pass of the language model in one call, on weights where they lie."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dsocr.kernels.coarse_head import CoarseHead
from dsocr.kernels.library import core
from dsocr.kernels.quantise import Packed
from dsocr.kernels.twelve import Twelve

_FLOAT32, _WIDENED, _BFLOAT16, _INT8, _INT4, _TWELVE = range(6)
_I64, _POINTER = ctypes.c_int64, ctypes.c_void_p
_PRODUCTS_A_THREAD = 20_000_000  # about a millisecond
Weight = Tensor | Packed | Twelve


@dataclass(frozen=True)
class FeedForwardWeights:
    """down(silu(gate x) · up x)."""

    gate: Weight
    up: Weight
    down: Weight


@dataclass(frozen=True)
class LayerWeights:
    """One layer; `always` is its dense network or the shared expert, the router [experts, width] belongs to experts."""

    attention_norm: Tensor
    ffn_norm: Tensor
    q: Weight
    k: Weight
    v: Weight
    out: Weight
    always: FeedForwardWeights
    router: Tensor | None = None
    experts: Sequence[FeedForwardWeights] = ()


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder: its layers, the last norm, the head [vocab, width], and the rotary tables [places, head dim / 2].

    coarse: where it is given, it finds the likeliest ids, whose logits alone are exact then (coarse_head.py).
    """

    layers: Sequence[LayerWeights]
    norm: Tensor
    head: Weight
    cosines: Tensor
    sines: Tensor
    heads: int
    kv_heads: int
    experts_per_token: int
    renormalise: bool
    eps: float
    routed_scale: float
    coarse: CoarseHead | None = None


class _Matrix(ctypes.Structure):
    _fields_ = (
        *(("data", _POINTER), ("scales", _POINTER)),
        *((name, _I64) for name in ("rows", "columns", "stride", "format")),
    )


class _FeedForward(ctypes.Structure):
    _fields_ = (("gate", _Matrix), ("up", _Matrix), ("down", _Matrix))


class _Layer(ctypes.Structure):
    _fields_ = (
        *(("attention_norm", _POINTER), ("ffn_norm", _POINTER)),
        *((name, _Matrix) for name in ("q", "k", "v", "out")),
        *(("always", _FeedForward), ("router", _POINTER)),
        *(("experts", ctypes.POINTER(_FeedForward)), ("expert_count", _I64)),
    )


class _Decoder(ctypes.Structure):
    _fields_ = (
        *((n, _I64) for n in ("width", "heads", "kv_heads", "head_dim", "layer_count", "per_token", "renormalise")),
        *(("eps", ctypes.c_double), ("scale", ctypes.c_double), ("layers", ctypes.POINTER(_Layer))),
        *(
            ("norm", _POINTER),
            ("head", _Matrix),
            ("coarse", _Matrix),
            ("blur", _POINTER),
            ("cosines", _POINTER),
            ("sines", _POINTER),
        ),
    )


class _Pass(ctypes.Structure):
    _fields_ = (
        ("rows", _I64),
        *((name, _POINTER) for name in ("x", "positions", "owners", "given", "exact", "tables")),
        *((name, _I64) for name in ("table_width", "blocks", "block")),
        *(("keys", _POINTER), ("values", _POINTER), ("cache_is_bfloat16", _I64)),
        *(("wanted", _POINTER), ("wanted_count", _I64), ("logits", _POINTER)),
        *(("threads", _I64), ("scratch", _POINTER)),
    )


def packable(weight: Tensor) -> bool:
    """Whether the core can multiply with this tensor where it lies."""
    return weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16) and weight.stride(-1) == 1


class DecoderCore:
    """A decoder's weights, ready for the compiled core; raises RuntimeError where there is no core."""

    def __init__(self, weights: DecoderWeights) -> None:
        """Keeps the weights' own memory; float32 ones that fit into bfloat16 are stored so and stay exact."""
        library = core()
        if library is None:
            raise RuntimeError("there is no compiled core for this machine")
        library.decoder_scratch.restype = _I64
        self._library, self._kept = library, list[Any]()
        self._scratch = torch.empty(0, dtype=torch.uint8)
        layers = (_Layer * len(weights.layers))(*(self._layer(layer) for layer in weights.layers))
        self._kept.append(layers)
        self._vocab, _ = _shape(weights.head)
        self._active = sum(_active(layer, weights.experts_per_token) for layer in weights.layers)
        self._head_dim = 2 * weights.cosines.shape[1]
        self._decoder = _Decoder(
            *(weights.norm.numel(), weights.heads, weights.kv_heads, self._head_dim, len(layers)),
            *(weights.experts_per_token, weights.renormalise, weights.eps, weights.routed_scale, layers),
            *(self._float(weights.norm), self._matrix(weights.head)),
            *((_Matrix(), None) if weights.coarse is None else self._coarse(weights.coarse)),
            *(self._float(weights.cosines), self._float(weights.sines)),
        )

    def run(
        self,
        x: Tensor,
        positions: Tensor,
        owners: Tensor,
        tables: Tensor,
        keys: Tensor,
        values: Tensor,
        wanted: Sequence[int],
        given: Tensor | None = None,
        exact: Tensor | None = None,
    ) -> Tensor:
        """Rows x [n, width] of several sequences → float32 logits [len(wanted), vocab]; x is not changed.

        positions, owners int32 [n]; tables int32 [sequences, most blocks]; keys, values [layers, blocks, block,
        kv heads, head dim], float32 or bfloat16, into which the rows' own are stored; given uint8 [n]: which rows are
        of prompts, which some processors read faster, but to other last digits. exact uint8 [n]: of which rows each
        logit must be exact (all, where it is not given); of the others only the likeliest are with a coarse head.
        """
        x = x.to(torch.float32, copy=True).contiguous()
        chosen = torch.tensor(wanted, dtype=torch.int32)
        logits = torch.empty(len(wanted), self._vocab)
        threads, longest = self._threads(len(x)), tables.shape[1] * keys.shape[2]
        size = self._library.decoder_scratch(ctypes.byref(self._decoder), _I64(len(x)), _I64(longest), _I64(threads))
        if size + 128 > len(self._scratch):
            self._scratch = torch.empty(size + 128, dtype=torch.uint8)
        task = _Pass(
            *(len(x), x.data_ptr(), positions.data_ptr(), owners.data_ptr()),
            *(None if marks is None else marks.data_ptr() for marks in (given, exact)),
            *(tables.data_ptr(), tables.shape[1]),
            *(keys.shape[1], keys.shape[2], keys.data_ptr(), values.data_ptr(), keys.dtype == torch.bfloat16),
            *(chosen.data_ptr(), len(wanted), logits.data_ptr(), threads, -(-self._scratch.data_ptr() // 64) * 64),
        )
        self._library.decoder_run(ctypes.byref(self._decoder), ctypes.byref(task))
        return logits

    def _threads(self, rows: int) -> int:
        """Threads that wait for one another many times in a pass pay only where each has enough to do in between."""
        return max(1, min(torch.get_num_threads(), rows * self._active // _PRODUCTS_A_THREAD))

    def _layer(self, layer: LayerWeights) -> _Layer:
        experts = (_FeedForward * len(layer.experts))(*(self._feed_forward(expert) for expert in layer.experts))
        self._kept.append(experts)
        return _Layer(
            *(self._float(layer.attention_norm), self._float(layer.ffn_norm)),
            *(self._matrix(weight) for weight in (layer.q, layer.k, layer.v, layer.out)),
            *(self._feed_forward(layer.always), None if layer.router is None else self._float(layer.router)),
            *(experts, len(layer.experts)),
        )

    def _feed_forward(self, network: FeedForwardWeights) -> _FeedForward:
        return _FeedForward(*(self._matrix(weight) for weight in (network.gate, network.up, network.down)))

    def _coarse(self, coarse: CoarseHead) -> tuple[_Matrix, int]:
        return self._matrix(coarse.packed), self._float(coarse.blur)

    def _float(self, tensor: Tensor) -> int:
        exact = tensor.detach().float().contiguous()
        self._kept.append(exact)
        return exact.data_ptr()

    def _matrix(self, weight: Weight) -> _Matrix:
        matrix, kept = as_matrix(weight)
        self._kept.append(kept)
        return matrix


def as_matrix(weight: Weight) -> tuple[_Matrix, Any]:
    """How the core sees a weight, and what must be kept alive for it."""
    if isinstance(weight, Packed):
        form = _INT8 if weight.bits == 8 else _INT4
        pointers = weight.data.data_ptr(), weight.scales.data_ptr()
        return _Matrix(*pointers, weight.rows, weight.columns, weight.data.stride(0), form), weight
    if isinstance(weight, Twelve):
        pointers = weight.data.data_ptr(), weight.beside.data_ptr()
        return _Matrix(*pointers, weight.rows, weight.columns, weight.data.stride(0) // 4, _TWELVE), weight
    kept, form = weight.detach(), _BFLOAT16
    if weight.dtype == torch.float32:
        half = kept.to(torch.bfloat16)
        exact = torch.equal(half.float(), kept)
        kept, form = (half, _WIDENED) if exact else (kept, _FLOAT32)
    return _Matrix(kept.data_ptr(), None, *kept.shape, kept.stride(0) * kept.element_size(), form), kept


def product(weight: Weight, x: Tensor) -> Tensor:
    """x [n, columns] times a weight [rows, columns] → float32 [n, rows], as the core computes it inside a pass."""
    library, (matrix, _) = core(), as_matrix(weight)
    assert library is not None
    x = x.float().contiguous()
    library.matrix_scratch.restype = _I64
    scratch = torch.empty(library.matrix_scratch(ctypes.byref(matrix), _I64(len(x))) + 128, dtype=torch.uint8)
    out = torch.empty(len(x), matrix.rows)
    aligned = _POINTER(-(-scratch.data_ptr() // 64) * 64)
    pointers = _POINTER(x.data_ptr()), _I64(len(x)), _POINTER(out.data_ptr()), aligned, _I64(1)
    library.matrix_product(ctypes.byref(matrix), *pointers)
    return out


def _shape(weight: Weight) -> tuple[int, int]:
    return (weight.shape[0], weight.shape[1]) if isinstance(weight, Tensor) else (weight.rows, weight.columns)


def _active(layer: LayerWeights, experts_per_token: int) -> int:
    """How many products a row costs in a layer."""
    asked = [layer.always, *layer.experts[:experts_per_token]]
    weights = [layer.q, layer.k, layer.v, layer.out, *(w for network in asked for w in (network.gate, network.up))]
    weights += [network.down for network in asked]
    return sum(rows * columns for rows, columns in map(_shape, weights))
