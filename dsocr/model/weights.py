"""Weights: published tensor names to ours in one table, strict loading, saving."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dsocr.errors import InputError
from dsocr.model.config import Config
from dsocr.model.network import Network

# Published name → ours, less the shared ending; `#` is an index. The spellings are the release's own.
NAMES = {
    "model.embed_tokens": "decoder.embed",
    "model.layers.#.input_layernorm": "decoder.layers.#.attention_norm",
    "model.layers.#.self_attn.q_proj": "decoder.layers.#.attention.q",
    "model.layers.#.self_attn.k_proj": "decoder.layers.#.attention.k",
    "model.layers.#.self_attn.v_proj": "decoder.layers.#.attention.v",
    "model.layers.#.self_attn.o_proj": "decoder.layers.#.attention.out",
    "model.layers.#.post_attention_layernorm": "decoder.layers.#.ffn_norm",
    "model.layers.#.mlp.gate_proj": "decoder.layers.#.ffn.gate",
    "model.layers.#.mlp.up_proj": "decoder.layers.#.ffn.up",
    "model.layers.#.mlp.down_proj": "decoder.layers.#.ffn.down",
    "model.layers.#.mlp.gate": "decoder.layers.#.ffn.router",
    "model.layers.#.mlp.experts.#.gate_proj": "decoder.layers.#.ffn.experts.#.gate",
    "model.layers.#.mlp.experts.#.up_proj": "decoder.layers.#.ffn.experts.#.up",
    "model.layers.#.mlp.experts.#.down_proj": "decoder.layers.#.ffn.experts.#.down",
    "model.layers.#.mlp.shared_experts.gate_proj": "decoder.layers.#.ffn.shared.gate",
    "model.layers.#.mlp.shared_experts.up_proj": "decoder.layers.#.ffn.shared.up",
    "model.layers.#.mlp.shared_experts.down_proj": "decoder.layers.#.ffn.shared.down",
    "model.norm": "decoder.norm",
    "lm_head": "decoder.head",
    "model.image_newline": "deep_encoder.newline",
    "model.view_seperator": "deep_encoder.separator",
    "model.projector.layers": "deep_encoder.projector",
    "model.sam_model.patch_embed.proj": "deep_encoder.sam.patch",
    "model.sam_model.pos_embed": "deep_encoder.sam.positions",
    "model.sam_model.blocks.#.norm1": "deep_encoder.sam.layers.#.attention_norm",
    "model.sam_model.blocks.#.attn.qkv": "deep_encoder.sam.layers.#.attention.qkv",
    "model.sam_model.blocks.#.attn.proj": "deep_encoder.sam.layers.#.attention.out",
    "model.sam_model.blocks.#.attn.rel_pos_h": "deep_encoder.sam.layers.#.attention.row_table",
    "model.sam_model.blocks.#.attn.rel_pos_w": "deep_encoder.sam.layers.#.attention.column_table",
    "model.sam_model.blocks.#.norm2": "deep_encoder.sam.layers.#.mlp_norm",
    "model.sam_model.blocks.#.mlp.lin1": "deep_encoder.sam.layers.#.mlp_in",
    "model.sam_model.blocks.#.mlp.lin2": "deep_encoder.sam.layers.#.mlp_out",
    "model.sam_model.neck.0": "deep_encoder.sam.neck.narrow",
    "model.sam_model.neck.1": "deep_encoder.sam.neck.narrow_norm",
    "model.sam_model.neck.2": "deep_encoder.sam.neck.mix",
    "model.sam_model.neck.3": "deep_encoder.sam.neck.mix_norm",
    "model.sam_model.net_2": "deep_encoder.sam.compress_1",
    "model.sam_model.net_3": "deep_encoder.sam.compress_2",
    "model.vision_model.embeddings.class_embedding": "deep_encoder.clip.class_token",
    "model.vision_model.embeddings.patch_embedding": "deep_encoder.clip.unused_patch",
    "model.vision_model.embeddings.position_embedding": "deep_encoder.clip.positions",
    "model.vision_model.pre_layrnorm": "deep_encoder.clip.first_norm",
    "model.vision_model.transformer.layers.#.layer_norm1": "deep_encoder.clip.layers.#.attention_norm",
    "model.vision_model.transformer.layers.#.self_attn.qkv_proj": "deep_encoder.clip.layers.#.qkv",
    "model.vision_model.transformer.layers.#.self_attn.out_proj": "deep_encoder.clip.layers.#.out",
    "model.vision_model.transformer.layers.#.layer_norm2": "deep_encoder.clip.layers.#.mlp_norm",
    "model.vision_model.transformer.layers.#.mlp.fc1": "deep_encoder.clip.layers.#.mlp_in",
    "model.vision_model.transformer.layers.#.mlp.fc2": "deep_encoder.clip.layers.#.mlp_out",
}
# Ours have no ".weight" where a bare parameter stands for the published module.
BARE = ("deep_encoder.clip.unused_patch", "deep_encoder.clip.positions")
_OURS_TO_PUBLISHED = {ours: published for published, ours in NAMES.items()}
_INDEX = re.compile(r"(?<=\.)\d+(?=\.|$)")


def published_name(name: str) -> str:
    """Our tensor name → the release's."""
    stem, ending = name, ""
    if name.endswith((".weight", ".bias")):
        stem, _, ending = name.rpartition(".")
    elif name in BARE:
        ending = "weight"
    indices = iter(_INDEX.findall(stem))
    published = _OURS_TO_PUBLISHED[_INDEX.sub("#", stem)]
    published = re.sub("#", lambda _: next(indices), published)
    return f"{published}.{ending}" if ending else published


def published_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint with this configuration holds, by its published name."""
    with torch.device("meta"):
        network = Network(config, image_token_id=0)
    return {published_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def load_network(
    folder: Path, config: Config, image_token_id: int, *, device: torch.device, dtype: torch.dtype | None
) -> Network:
    """The network in `folder`, ready to read; dtype None keeps the stored one, memory-mapped and uncopied.

    Raises InputError, naming every tensor that is missing, surplus or of another shape.
    """
    with torch.device("meta"):
        network = Network(config, image_token_id)
    tensors = map_tensors(weight_files(folder))
    check_tensors(tensors, network, folder)
    ours = {name: tensors[published_name(name)].to(device, dtype) for name in network.state_dict()}
    network.load_state_dict(ours, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those its index names, else model.safetensors, else its shards."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            files = sorted(folder / Path(name).name for name in names)
        except (ValueError, KeyError, AttributeError, TypeError):
            raise InputError(f"{index} is not a safetensors index") from None
    elif (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    else:
        files = sorted(folder.glob("model-*-of-*.safetensors"))
    missing = [path.name for path in files if not path.is_file()]
    if missing or not files:
        raise InputError(f"{folder} is not a whole checkpoint: missing {', '.join(missing) or '*.safetensors'}")
    return files


def stored_bytes(folder: Path) -> int:
    """How large the weights of a checkpoint are on disk."""
    return sum(path.stat().st_size for path in weight_files(folder))


def map_tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """Every tensor of the files, mapped into memory: nothing is read until it is touched."""
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                    tensors[name] = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a whole safetensors file: {error}") from None
    return tensors


def check_tensors(tensors: Mapping[str, Tensor], network: Network, folder: Path) -> None:
    """All troubles of a checkpoint in one InputError; nothing when there are none."""
    wanted = {published_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    troubles = [f"missing {name} {list(shape)}" for name, shape in wanted.items() if name not in tensors]
    troubles += [f"surplus {name}" for name in tensors if name not in wanted]
    troubles += [
        f"{name} is {list(tensors[name].shape)}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if troubles:
        raise InputError(f"{folder} does not fit its config.json: {'; '.join(troubles)}")


def save_network(network: Network, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the weights under their published names."""
    tensors = {
        published_name(name): tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(tensors, path, metadata={"format": "pt"})
