"""The micro checkpoint, and what the published code answered with it, on the device that the tests run on."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from dsocr.model.config import read_config
from dsocr.model.network import Network
from dsocr.model.weights import load_network

MICRO = Path(__file__).parent / "golden" / "micro"
HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PAGE = Image.open(MICRO / "page.png").convert("RGB")
IMAGE = 300  # its image token

# A GPU's convolutions would otherwise round to TF32, and no golden was computed like that. The first use of the
# setting may say that it is going to be renamed.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.backends.cudnn.allow_tf32 = False


def load_micro(device: torch.device = HERE, dtype: torch.dtype | None = torch.float32) -> Network:
    return load_network(MICRO, read_config(MICRO), IMAGE, device=device, dtype=dtype)


def load_goldens(device: torch.device = HERE) -> dict[str, dict[str, Tensor]]:
    modes = ("tiny", "small", "gundam")
    return {
        mode: {name: tensor.to(device) for name, tensor in load_file(MICRO / f"{mode}.safetensors").items()}
        for mode in modes
    }


def error(found: Tensor, exact: Tensor) -> float:
    """Relative to the size of what is exact."""
    exact = exact.detach().float()
    return float((found.detach().to(exact) - exact).norm() / exact.norm())
