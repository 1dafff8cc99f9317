"""How fast each core that this CPU can run multiplies weights with few activations, beside the plain core.

`python benchmarks/products.py [--rounds 12] [--activations 1 4 16]`: a matrix of the released decoder's widest layer,
one thread, seconds of processor time, the best round counts. The cores take turns within a round.
"""

from __future__ import annotations

import argparse
import itertools
import time

import torch
from torch import Tensor

from dsocr.kernels import decoder_core
from dsocr.kernels.library import LEVELS, cpu_features, load
from dsocr.kernels.quantise import Packed, pack

SHAPE = 6848, 1280
BYTES = {"bfloat16": 2.0, "int8": 1.0, "int4": 0.5}  # of a weight


def weights() -> dict[str, Tensor | Packed]:
    """One matrix in every form."""
    drawn = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)) * 0.05
    return {"bfloat16": drawn.bfloat16(), "int8": pack(drawn, 8), "int4": pack(drawn, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--activations", type=int, nargs="+", default=[1, 4, 16])
    asked = parser.parse_args()
    cores = {level.name: load(level) for level in LEVELS if level.features <= cpu_features()}
    cores = {name: library for name, library in cores.items() if library}
    forms, least = weights(), dict[tuple[str, str, int], float]()
    for _ in range(asked.rounds):
        for (form, weight), count in itertools.product(forms.items(), asked.activations):
            x = torch.randn(count, SHAPE[1], generator=torch.Generator().manual_seed(2))
            for name, library in cores.items():
                decoder_core.core = lambda library=library: library
                began = time.process_time()
                decoder_core.product(weight, x)
                taken = time.process_time() - began
                least[name, form, count] = min(taken, least.get((name, form, count), taken))
    print("| core | form | GB/s, one activation | " + " | ".join(f"{n} at once" for n in asked.activations) + " |")
    print("|---" * (3 + len(asked.activations)) + "|")
    for name, form in itertools.product(cores, BYTES):
        alone = SHAPE[0] * SHAPE[1] * BYTES[form] / least[name, form, asked.activations[0]] / 1e9
        faster = (least["plain", form, count] / least[name, form, count] for count in asked.activations)
        print(f"| {name} | {form} | {alone:.1f} | " + " | ".join(f"{ratio:.1f} ×" for ratio in faster) + " |")


if __name__ == "__main__":
    main()
