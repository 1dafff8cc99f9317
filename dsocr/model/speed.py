"""Gives a network its fast twins, where this machine has what they need; else it stays as it is."""

from __future__ import annotations

import logging
import os

import torch

from dsocr.kernels.library import level
from dsocr.model.compiled import compile_decoder
from dsocr.model.fast_encoder import speed_up_encoder
from dsocr.model.network import FastDecoder, Network

LOG = logging.getLogger(__name__)
GRAPHS = "DSOCR_GRAPHS"  # the environment's variable that asks for CUDA graphs


def speed_up(network: Network) -> None:
    """What is computed stays the same within the rounding of the dtype; the log says what it runs on."""
    network.fast = _graphed(network) if network.device.type == "cuda" else compile_decoder(network.decoder)
    speed_up_encoder(network.deep_encoder)
    LOG.info(
        "computing on %s in %s, with %s", network.device, str(network.dtype).removeprefix("torch."), _means(network)
    )


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; True where this PyTorch cannot tell.

    Without them PyTorch's products take three to seven times as long as float32's.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)  # older ones have none
    return ask is None or any(ask().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def widens_encoder(kept: torch.dtype | None, device: torch.device) -> bool:
    """Whether the encoder is float32 on a device although the network is kept as this dtype; None: as it is stored."""
    return kept in (None, torch.bfloat16) and device.type == "cpu" and not multiplies_bfloat16()


def _graphed(network: Network) -> FastDecoder | None:
    """Only where it is asked for: no GPU has run it yet."""
    if not os.environ.get(GRAPHS):
        return None
    try:
        from dsocr.model.graphed import graph_decoder  # asked for only here: it loads Triton
    except ImportError as missing:
        LOG.info("no graphs of the decoder: %s", missing)
        return None
    return graph_decoder(network.decoder)


def _means(network: Network) -> str:
    if network.fast and network.device.type == "cuda":
        return "graphs of the decoder"
    if network.fast:
        return f"the compiled core ({level()})"
    if network.device.type != "cpu" or level():
        return "plain PyTorch"
    return "plain PyTorch: no compiled core is here, which is faster on a CPU (python -m dsocr.kernels.build)"
