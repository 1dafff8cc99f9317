"""Writes a GGUF of the released decoder's shapes with random weights, in bfloat16.

    python benchmarks/peers/make_gguf.py FILE

Needs the package gguf; llama_cpp.py, which runs this, lends it the one that lies beside llama.cpp.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np
import torch

from dsocr.model.config import DecoderConfig, parse_config
from dsocr.model.released import RELEASED

ARCHITECTURE = "deepseek"  # DeepSeekMoE: multi-head attention, dense layers first, then routed and shared experts


def write_gguf(path: Path, config: DecoderConfig) -> None:
    """One tensor in memory at a time; the same weights on every run."""
    torch.manual_seed(0)
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    add_fields(writer, config)
    shapes = tensor_shapes(config)
    for name, shape in shapes.items():
        items = int(np.prod(shape))
        if in_float32(name):
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * items)
        else:
            writer.add_tensor_info(name, shape, np.dtype(np.int16), 2 * items, gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, shape in shapes.items():
        writer.write_tensor_data(random_weights(name, shape))
    writer.close()


def add_fields(writer: gguf.GGUFWriter, config: DecoderConfig) -> None:
    """What llama.cpp must know of the decoder; there is no tokenizer, it draws token ids itself."""
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_feed_forward_length(config.dense_width)
    writer.add_leading_dense_block_count(config.dense_layers)
    writer.add_expert_count(config.experts)
    writer.add_expert_used_count(config.experts_per_token)
    writer.add_expert_feed_forward_length(config.expert_width)
    writer.add_expert_shared_count(config.shared_width // config.expert_width)
    writer.add_expert_weights_scale(config.routed_scale)


def tensor_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor by llama.cpp's name: [width], [out, in] or [experts, out, in]."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (config.vocab_size, config.width)}
    for index in range(config.layers):
        layer = attention_shapes(config) | feed_forward_shapes(config, dense=index < config.dense_layers)
        shapes |= {f"blk.{index}.{name}.weight": shape for name, shape in layer.items()}
    return shapes | {"output_norm.weight": (config.width,), "output.weight": (config.vocab_size, config.width)}


def attention_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Two norms and the four projections."""
    width, kv_width = config.width, config.kv_heads * config.head_dim
    return {
        "attn_norm": (width,),
        "attn_q": (width, width),
        "attn_k": (kv_width, width),
        "attn_v": (kv_width, width),
        "attn_output": (width, width),
        "ffn_norm": (width,),
    }


def feed_forward_shapes(config: DecoderConfig, dense: bool) -> dict[str, tuple[int, ...]]:
    """One gated network, or a router, its experts, and the shared experts as one."""
    if dense:
        return gated_shapes("", config.width, config.dense_width)
    routed = gated_shapes("_exps", config.width, config.expert_width)
    return {
        "ffn_gate_inp": (config.experts, config.width),
        **{name: (config.experts, *shape) for name, shape in routed.items()},
        **gated_shapes("_shexp", config.width, config.shared_width),
    }


def gated_shapes(suffix: str, width: int, inner: int) -> dict[str, tuple[int, ...]]:
    return {
        f"ffn_gate{suffix}": (inner, width),
        f"ffn_up{suffix}": (inner, width),
        f"ffn_down{suffix}": (width, inner),
    }


def in_float32(name: str) -> bool:
    """Norms and routers, which llama.cpp's own converter keeps in float32 too."""
    return "norm" in name or "ffn_gate_inp" in name


def random_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Ones for a norm, else small normals that keep the size of what they are applied to."""
    if "norm" in name:
        return np.ones(shape, np.float32)
    weights = torch.randn(shape) / shape[-1] ** 0.5
    return weights.numpy() if in_float32(name) else weights.bfloat16().view(torch.int16).numpy()


if __name__ == "__main__":
    write_gguf(Path(sys.argv[1]), parse_config(RELEASED).decoder)
