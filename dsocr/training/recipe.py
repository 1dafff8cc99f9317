"""How nano is made: its shape, and the stages it is trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_LANGUAGE: Mapping[str, Any] = {
    "hidden_size": 320,
    "intermediate_size": 640,
    "moe_intermediate_size": 160,
    "num_hidden_layers": 5,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "n_shared_experts": 2,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 2,
    "norm_topk_prob": True,
    "use_mla": False,
    "topk_method": "greedy",
    "n_group": 1,
    "topk_group": 1,
    "max_position_embeddings": 8192,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "torch_dtype": "bfloat16",
}


def nano_config(vocab_size: int) -> dict[str, Any]:
    """nano's config.json in the released schema, with the optional keys that other sizes need."""
    language = {"vocab_size": vocab_size, **_LANGUAGE}
    sam = {
        "width": 128,
        "layers": 4,
        "heads": 4,
        # No layer sees the whole sheet: what a window's edge cuts is hard to know again, so the windows are large.
        "window_size": 22,
        "global_attn_indexes": [],
        "downsample_channels": [256, 320],
        "neck_channels": 128,
    }
    clip = {"width": 320, "layers": 3, "heads": 5, "mlp_width": 1280, "image_size": 224, "patch_size": 14}
    return {
        **language,
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "deepseek_vl_v2",
        "language_config": language,
        "projector_config": {"input_dim": 640, "n_embed": 320, "projector_type": "linear"},
        "vision_config": {
            "image_size": 1024,
            "model_name": "deeplip_b_l",
            "width": {"clip-l-14-224": clip, "sam_vit_b": sam},
        },
    }


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    modes: view sizes by their share; empty, the encoder alone learns from dense crops, whose sides in pixels and
    shares are `crops`. batch counts the smallest ones, of larger ones as many as have the same area. encoder,
    decoder: what is trained; of the encoder all, or all but SAM, which learns from crops alone, also beside pages.
    stretch: how far print in crops is enlarged, least and most. styles: the share of batches with bold and slanted
    print too. text: the mixture to print. dense, guide: weights of the training-only losses (cells; where to read
    next). forced: the share of pages whose gaze is forced, falling to zero half-way. corrupted: the share of text
    given to the decoder with a wrong character. full: the chance of a batch of pages printed from top to bottom.
    decay_from: the share of the steps after which the learning rate falls to a twentieth.
    """

    name: str
    steps: int
    batch: int
    learning_rate: float
    encoder: bool
    decoder: bool
    sam: bool = True
    modes: Mapping[str, float] = field(default_factory=dict)
    crops: Mapping[int, float] = field(default_factory=lambda: {192: 1.0})
    stretch: tuple[float, float] = (1.0, 2.0)
    styles: float = 1.0
    text: Mapping[str, float] | None = None
    dense: float = 0.0
    guide: float = 0.0
    forced: float = 0.0
    corrupted: float = 0.0
    full: float = 0.0
    decay_from: float = 0.6


# Crops of two by two windows: positions and edges as in a whole view, at a fifth of its price for each step.
_LOOK = Stage(
    "look",
    6000,
    1,
    2e-3,
    encoder=True,
    decoder=False,
    crops={704: 0.85, 1024: 0.15},
    stretch=(1.55, 2.0),
    styles=0.15,
    decay_from=1.0,
)
# Reading is taught from text that cannot be guessed, then from text as people write it.
_HARD = {"random": 0.3, "words": 0.2, "prose": 0.3, "shuffled": 0.12, "numbers": 0.08}
_USUAL = {"random": 0.1, "words": 0.18, "prose": 0.57, "shuffled": 0.1, "numbers": 0.05}
_READ = Stage(
    "read",
    3000,
    2,
    1.2e-3,
    encoder=True,
    sam=False,
    decoder=True,
    modes={"gundam": 1.0},
    styles=0.04,
    text=_HARD,
    dense=0.3,
    guide=1.0,
    forced=0.4,
    corrupted=0.07,
    full=0.6,
    decay_from=1.0,
)
STAGES = (
    _LOOK,
    replace(_LOOK, name="look closely", steps=5400, decay_from=0.5),
    _READ,
    replace(
        _READ,
        name="read on",
        steps=1500,
        learning_rate=1e-3,
        text=_USUAL,
        styles=0.02,
        forced=0.0,
        full=0.35,
        decay_from=0.0,
    ),
)
