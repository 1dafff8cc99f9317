"""The decoder's fast twin on a CPU: the same weights, handed to the compiled core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dsocr.kernels.decoder_core import DecoderCore, DecoderWeights, FeedForwardWeights, LayerWeights, Weight, packable
from dsocr.kernels.library import core
from dsocr.model.decoder import Decoder, DecoderLayer, rope_tables
from dsocr.model.moe import MixtureOfExperts, SwiGLU
from dsocr.model.quantised import QuantisedLinear


class Pool(Protocol):
    """Where keys and values lie: [layers, blocks, block, kv heads, head dim] each."""

    keys: Tensor
    values: Tensor


class Rows(Protocol):
    """Which rows of which sequences a pass brings, as the engine's Batch has it."""

    pool: Pool
    positions: Tensor
    owners: Tensor
    tables: Tensor


class CompiledDecoder:
    """Rows in, logits out, as `Network.step` has it."""

    def __init__(self, decoder: Decoder) -> None:
        config = decoder.config
        places = torch.arange(config.max_positions)
        # The plain tables hold each number twice, for both channels of a pair.
        cosines, sines = (table[:, : config.head_dim // 2] for table in rope_tables(places, config, torch.empty(0)))
        self._core = DecoderCore(
            DecoderWeights(
                [_layer(layer) for layer in decoder.layers],
                decoder.norm.weight,
                _weight(decoder.head),
                cosines,
                sines,
                config.heads,
                config.kv_heads,
                config.experts_per_token,
                config.renormalise,
                config.norm_eps,
                config.routed_scale,
            )
        )

    def step(self, x: Tensor, batch: Rows, wanted: Sequence[int]) -> Tensor:
        """Rows x [n, width] → float32 logits [len(wanted), vocab]; their keys and values are stored in the pool."""
        pool = batch.pool
        return self._core.run(x, batch.positions, batch.owners, batch.tables, pool.keys, pool.values, wanted)


def compile_decoder(decoder: Decoder) -> CompiledDecoder | None:
    """The fast twin, where there is a core that can multiply with these weights; else None."""
    weights = (module.weight for module in decoder.modules() if isinstance(module, nn.Linear))
    if core() is None or not all(packable(weight) for weight in [decoder.embed.weight, *weights]):
        return None
    return CompiledDecoder(decoder)


def _layer(layer: nn.Module) -> LayerWeights:
    assert isinstance(layer, DecoderLayer)
    attention, ffn = layer.attention, layer.ffn
    mixture = ffn if isinstance(ffn, MixtureOfExperts) else None
    always = _feed_forward(mixture.shared if mixture else ffn)
    router = mixture.router.weight if mixture else None
    experts = [_feed_forward(expert) for expert in mixture.experts] if mixture else []
    return LayerWeights(
        layer.attention_norm.weight,
        layer.ffn_norm.weight,
        _weight(attention.q),
        _weight(attention.k),
        _weight(attention.v),
        _weight(attention.out),
        always,
        router,
        experts,
    )


def _feed_forward(network: nn.Module) -> FeedForwardWeights:
    assert isinstance(network, SwiGLU)
    return FeedForwardWeights(_weight(network.gate), _weight(network.up), _weight(network.down))


def _weight(linear: nn.Module) -> Weight:
    if isinstance(linear, QuantisedLinear):
        return linear.packed
    assert isinstance(linear, nn.Linear)
    return linear.weight
