"""The decoder's fast twin on a CPU: the same weights, handed to the compiled core."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dsocr.kernels.coarse_head import CoarseHead, coarse_head
from dsocr.kernels.decoder_core import DecoderCore, DecoderWeights, FeedForwardWeights, LayerWeights, Weight, packable
from dsocr.kernels.library import core
from dsocr.kernels.twelve import Twelve
from dsocr.model.decoder import Decoder, DecoderLayer, rope_tables
from dsocr.model.moe import MixtureOfExperts, SwiGLU
from dsocr.model.quantised import QuantisedLinear, TwelveBitLinear, can_shorten, shorten, shortening

LOG = logging.getLogger(__name__)
_WORTH_IT = 500  # passes that a network has been asked for before it is shortened: about a page


class Pool(Protocol):
    """Where keys and values lie: [layers, blocks, block, kv heads, head dim] each."""

    keys: Tensor
    values: Tensor


class Rows(Protocol):
    """Which rows of which sequences a pass brings, as the engine's Batch has it."""

    pool: Pool
    positions: Tensor
    owners: Tensor
    given: Tensor
    exact: Tensor
    tables: Tensor


class CompiledDecoder:
    """Rows in, logits out, as `Network.step` has it.

    Of a large head only the likeliest rows are multiplied, which its `coarse` form finds: it is made at once, of what
    the head is then, and a head that is changed later wants a new decoder.
    A large decoder of bfloat16 weights that are mapped from files is shortened to 12 bits a number once it has been
    asked often enough for it to pay: some matrices more in each pass, which changes no number of any answer.
    """

    def __init__(self, decoder: Decoder) -> None:
        frozen = not any(parameter.requires_grad for parameter in decoder.parameters())
        self.coarse = _coarse(decoder) if frozen else None
        self._decoder, self._core = decoder, _core(decoder, self.coarse)
        self._shortening = shortening(decoder, mapped=True) if frozen and can_shorten(decoder) else None
        self._passes = 0

    def step(self, x: Tensor, batch: Rows, wanted: Sequence[int]) -> Tensor:
        """Rows x [n, width] → float32 logits [len(wanted), vocab]; their keys and values are stored in the pool."""
        self._passes += 1
        if self._shortening and self._passes > _WORTH_IT:
            self._shorten_more(self._shortening)
        pool = batch.pool
        places = batch.positions, batch.owners, batch.tables
        return self._core.run(x, *places, pool.keys, pool.values, wanted, batch.given, batch.exact)

    def shorten(self) -> None:
        """At once, and whatever the weights lie in, what `step` does bit by bit."""
        shorten(self._decoder)
        self._core = _core(self._decoder, self.coarse)

    def _shorten_more(self, work: Iterator[None]) -> None:
        try:
            next(work)
        except StopIteration:
            self._shortening = None
        except (MemoryError, RuntimeError) as error:  # PyTorch's own way to say that there is no memory
            LOG.info("the decoder is shortened no further: %s", error)
            self._shortening = None
        self._core = _core(self._decoder, self.coarse)


def compile_decoder(decoder: Decoder) -> CompiledDecoder | None:
    """The fast twin, where there is a core that can multiply with these weights; else None."""
    weights = (module.weight for module in decoder.modules() if isinstance(module, nn.Linear))
    if core() is None or not all(packable(weight) for weight in [decoder.embed.weight, *weights]):
        return None
    return CompiledDecoder(decoder)


def _coarse(decoder: Decoder) -> CoarseHead | None:
    head = _weight(decoder.head)
    try:
        return None if isinstance(head, Twelve) else coarse_head(head)
    except (MemoryError, RuntimeError) as error:  # PyTorch's own way to say that there is no memory
        LOG.info("the head is read whole: %s", error)
        return None


def _core(decoder: Decoder, coarse: CoarseHead | None) -> DecoderCore:
    config = decoder.config
    places = torch.arange(config.max_positions)
    # The plain tables hold each number twice, for both channels of a pair.
    cosines, sines = (table[:, : config.head_dim // 2] for table in rope_tables(places, config, torch.empty(0)))
    return DecoderCore(
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
            coarse,
        )
    )


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
    if isinstance(linear, QuantisedLinear | TwelveBitLinear):
        return linear.packed
    assert isinstance(linear, nn.Linear)
    return linear.weight
