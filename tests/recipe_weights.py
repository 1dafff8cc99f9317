"""The released network with weights that no file holds: each is noise seeded by its tensor's published name."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import torch

from dsocr.model.config import parse_config
from dsocr.model.network import Network
from dsocr.model.released import RELEASED, RELEASED_IMAGE_ID
from dsocr.model.weights import published_name


def drawn_weight(name, shape):
    """A tensor of the recipe: noise seeded by the published name, scaled by its kind, rounded to bfloat16."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(crc32(name.encode())))
    if name.endswith("weight") and ("norm" in name or ".neck.1." in name or ".neck.3." in name):
        weight.mul_(0.1).add_(1)
    elif name.endswith("bias"):
        weight.mul_(0.05)
    elif "rel_pos" in name:
        weight.mul_(0.15)
    elif any(part in name for part in ("pos_embed", "position_embedding", "class_embedding")):
        weight.mul_(0.5)
    elif not any(part in name for part in ("embed_tokens", "image_newline", "view_seperator")):
        weight.div_(math.sqrt(math.prod(shape[1:])))
        weight.mul_(2 if name.endswith(("mlp.gate.weight", "q_proj.weight", "k_proj.weight")) else 1)
    return weight.copy_(weight.bfloat16())


def drawn_network(fields=RELEASED, image_id=RELEASED_IMAGE_ID):
    """Built without memory, then filled one tensor at a time: 13.3 GB in float32, and never two copies.

    fields: those of another config.json, for a network of another shape.
    """
    with torch.device("meta"):
        network = Network(parse_config(fields), image_id)

    def fill(name):
        shape = network.get_parameter(name).shape
        module, _, last = name.rpartition(".")
        weight = drawn_weight(published_name(name), shape)
        setattr(network.get_submodule(module), last, torch.nn.Parameter(weight, requires_grad=False))

    with ThreadPoolExecutor(2) as pool:  # each draw is one thread's work, whatever the machine has
        list(pool.map(fill, [name for name, _ in network.named_parameters()]))
    return network.eval()
