"""The released checkpoint's shape, as its config.json gives it, and a network of that shape with random weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from dsocr.kernels.huge_pages import HugePages
from dsocr.model.config import parse_config
from dsocr.model.network import Network
from dsocr.model.quantised import BITS, QuantisedLinear, linear_places

RELEASED_IMAGE_ID = 128815

RELEASED: dict[str, Any] = {
    "vocab_size": 129280,
    "hidden_size": 1280,
    "num_hidden_layers": 12,
    "num_attention_heads": 10,
    "num_key_value_heads": 10,
    "intermediate_size": 6848,
    "max_position_embeddings": 8192,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 896,
    "first_k_dense_replace": 1,
    "topk_method": "greedy",
    "n_group": 1,
    "topk_group": 1,
    "use_mla": False,
    "torch_dtype": "bfloat16",
    "vision_config": {
        "image_size": 1024,
        "mlp_ratio": 3.7362,
        "model_name": "deeplip_b_l",
        "width": {
            "clip-l-14-224": {"heads": 16, "image_size": 224, "layers": 24, "patch_size": 14, "width": 1024},
            "sam_vit_b": {
                "downsample_channels": [512, 1024],
                "global_attn_indexes": [2, 5, 8, 11],
                "heads": 12,
                "layers": 12,
                "width": 768,
            },
        },
    },
}

_POOL = (1 << 22) + 1  # random numbers that are used over and over; odd, so that no two rows are the same


def random_network(form: str) -> Network:
    """The released network with random weights: speed does not ask what is written in them.

    form: of the decoder, one of float32, bfloat16, int8, int4. The encoder is float32 beside a float32 decoder, else
    bfloat16.
    """
    with torch.device("meta"):
        network = Network(parse_config(RELEASED), image_token_id=RELEASED_IMAGE_ID)
    dtype = torch.float32 if form == "float32" else torch.bfloat16
    if form in BITS:
        memory = HugePages()
        for parent, name in linear_places(network.decoder):
            linear = getattr(parent, name)
            linear.weight = nn.Parameter(_numbers(linear.weight.shape, dtype), requires_grad=False)
            setattr(parent, name, QuantisedLinear(linear, BITS[form], memory))
    for part in network.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if parameter.is_meta:
                ones = parameter.ndim == 1 and name == "weight"
                tensor = torch.ones(parameter.shape, dtype=dtype) if ones else _numbers(parameter.shape, dtype)
                setattr(part, name, nn.Parameter(tensor, requires_grad=False))
    return network.eval().requires_grad_(False)


def _numbers(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    count, pool = shape.numel(), _random_pool(dtype)
    numbers = torch.empty(count, dtype=dtype)
    for start in range(0, count, _POOL):
        numbers[start : start + _POOL] = pool[: count - start]
    return numbers.reshape(shape)


@cache
def _random_pool(dtype: torch.dtype) -> Tensor:
    return torch.randn(_POOL, generator=torch.Generator().manual_seed(0)).mul_(0.02).to(dtype)
