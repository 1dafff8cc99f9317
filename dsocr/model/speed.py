"""Gives a network on a CPU its fast twins, where there is a compiled core for them; else it stays as it is."""

from __future__ import annotations

from dsocr.model.compiled import compile_decoder
from dsocr.model.fast_encoder import speed_up_encoder
from dsocr.model.network import Network


def speed_up(network: Network) -> None:
    """What is computed stays the same within the rounding of the dtype."""
    network.fast = compile_decoder(network.decoder)
    speed_up_encoder(network.deep_encoder)
