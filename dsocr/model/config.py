"""What config.json says about a checkpoint, as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsocr.errors import InputError

PATCH_PX = 16
CLIP_NAME = "clip-l-14-224"
# Fields that other models of the family set otherwise; the network computes these values only.
_ONLY = {
    "use_mla": False,
    "topk_method": "greedy",
    "scoring_func": "softmax",
    "hidden_act": "silu",
    "moe_layer_freq": 1,
    "rope_scaling": None,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class SamConfig:
    """The first stage: a windowed vision transformer and the convolutions that make 16 tokens into one."""

    width: int
    layers: int
    heads: int
    global_layers: frozenset[int]
    neck_width: int
    compressor_widths: tuple[int, int]
    window: int
    table_side: int  # the learned position table is [table_side, table_side]


@dataclass(frozen=True)
class ClipConfig:
    """The second stage: a plain vision transformer over the compressed tokens."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    table_side: int
    patch_px: int  # of the published patch convolution, which is stored and never used


@dataclass(frozen=True)
class DecoderConfig:
    """The language model: multi-head attention with RoPE, dense layers first, then mixtures of experts."""

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    dense_width: int
    dense_layers: int
    experts: int
    experts_per_token: int
    expert_width: int
    shared_width: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    renormalise: bool
    routed_scale: float

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True)
class Config:
    """One checkpoint of this architecture."""

    sam: SamConfig
    clip: ClipConfig
    decoder: DecoderConfig
    image_token_id: int | None  # None: the tokenizer's id of <image>


def read_config(folder: Path) -> Config:
    """The configuration in `folder`; an InputError names what is missing or not of this architecture."""
    path = folder / "config.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is not a checkpoint: it has no config.json") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    try:
        return parse_config(fields)
    except KeyError as error:
        raise InputError(f"{path} is not a DeepSeek-OCR configuration: {error.args[0]} is missing") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is not a DeepSeek-OCR configuration: {error}") from None


def parse_config(fields: Mapping[str, Any]) -> Config:
    """Released schema → Config. Raises KeyError for a field that has no default in the published code."""
    # published quirk: the same fields stand at the top and in language_config; the top ones count.
    language = {**fields.get("language_config", {}), **fields}
    vision = fields["vision_config"]
    sam = _sam(vision["width"]["sam_vit_b"], _count(vision, "image_size", 1024, least=PATCH_PX))
    clip = _clip(vision["width"][CLIP_NAME])
    if clip.width != sam.compressor_widths[-1]:
        raise ValueError(f"{CLIP_NAME} is {clip.width} wide, the last of downsample_channels is not")
    return Config(
        sam=sam,
        clip=clip,
        decoder=_decoder(language),
        image_token_id=None if fields.get("image_token_id") is None else _count(fields, "image_token_id", least=0),
    )


def _sam(fields: Mapping[str, Any], image_size: int) -> SamConfig:
    first, second = (_whole("downsample_channels", each) for each in fields["downsample_channels"])
    return SamConfig(
        width=_multiple(fields, "width", "heads"),
        layers=_count(fields, "layers"),
        heads=_count(fields, "heads"),
        global_layers=frozenset(_whole("global_attn_indexes", each, 0) for each in fields["global_attn_indexes"]),
        neck_width=_count(fields, "neck_channels", 256),
        compressor_widths=(first, second),
        window=_count(fields, "window_size", 14),
        table_side=image_size // PATCH_PX,
    )


def _clip(fields: Mapping[str, Any]) -> ClipConfig:
    width = _multiple(fields, "width", "heads")
    return ClipConfig(
        width=width,
        layers=_count(fields, "layers"),
        heads=_count(fields, "heads"),
        mlp_width=_count(fields, "mlp_width", 4 * width),
        table_side=_multiple(fields, "image_size", "patch_size") // _count(fields, "patch_size"),
        patch_px=_count(fields, "patch_size"),
    )


def _decoder(fields: Mapping[str, Any]) -> DecoderConfig:
    for name, only in _ONLY.items():
        if fields.get(name) not in (only, None):
            raise ValueError(f"{name} is {fields[name]!r}; DeepSeek-OCR has {only!r}")
    if _multiple(fields, "hidden_size", "num_attention_heads") // _count(fields, "num_attention_heads") % 2:
        raise ValueError("hidden_size / num_attention_heads is odd; rotary positions turn channels in pairs")
    if _count(fields, "num_experts_per_tok") > _count(fields, "n_routed_experts"):
        raise ValueError("num_experts_per_tok is more than n_routed_experts")
    return DecoderConfig(
        vocab_size=_count(fields, "vocab_size"),
        width=_count(fields, "hidden_size"),
        layers=_count(fields, "num_hidden_layers"),
        heads=_multiple(fields, "num_attention_heads", "num_key_value_heads"),
        kv_heads=_count(fields, "num_key_value_heads"),
        dense_width=_count(fields, "intermediate_size"),
        dense_layers=_count(fields, "first_k_dense_replace", least=0),
        experts=_count(fields, "n_routed_experts"),
        experts_per_token=_count(fields, "num_experts_per_tok"),
        expert_width=_count(fields, "moe_intermediate_size"),
        shared_width=_count(fields, "n_shared_experts") * _count(fields, "moe_intermediate_size"),
        max_positions=_count(fields, "max_position_embeddings", 8192),
        norm_eps=float(fields.get("rms_norm_eps", 1e-6)),
        rope_theta=float(fields.get("rope_theta", 10000.0)),
        renormalise=bool(fields.get("norm_topk_prob", False)),
        routed_scale=float(fields.get("routed_scaling_factor", 1.0)),
    )


def _count(fields: Mapping[str, Any], name: str, default: int | None = None, *, least: int = 1) -> int:
    """A whole number of `least` or more; KeyError when it is missing and has no default."""
    return _whole(name, fields[name] if default is None else fields.get(name, default), least)


def _multiple(fields: Mapping[str, Any], name: str, of: str) -> int:
    """A count that another count of the same fields divides."""
    value, divisor = _count(fields, name), _count(fields, of)
    if value % divisor:
        raise ValueError(f"{name} is {value}, not a multiple of {of}, {divisor}")
    return value


def _whole(name: str, value: object, least: int = 1) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    return value
