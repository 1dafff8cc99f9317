"""How far few bits move the logits of the released size: the weight recipe in float32 against int8 and int4.

    python benchmarks/few_bits.py [--places 128]

14 GB of memory and some minutes. The prompt is random ids; every place of it gives a row of logits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import KVPool, blocks_for
from dsocr.model.network import Network
from dsocr.model.quantised import BITS, quantise
from dsocr.model.speed import speed_up

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from recipe_weights import drawn_network


def logits_of(network: Network, ids: list[int]) -> Tensor:
    """[places, vocab], float32."""
    config = network.config.decoder
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, blocks_for(len(ids)), torch.float32, network.device)
    span = Span(pool.take(pool.blocks), 0, len(ids))
    x = network.embed(torch.tensor([ids]), None)[0]
    return network.step(x, Batch(pool, [span]), list(range(len(ids))))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=128)
    asked = parser.parse_args()
    ids = torch.randint(100_000, (asked.places,), generator=torch.Generator().manual_seed(0)).tolist()
    exact = logits_of(drawn_network(), ids)
    print("| decoder | relative error of the logits | same likeliest id | exact likeliest among the first five |")
    print("|---|---|---|---|")
    for name, bits in BITS.items():
        network = drawn_network()
        quantise(network.decoder, bits)
        speed_up(network)
        rough = logits_of(network, ids)
        del network
        likeliest = exact.argmax(-1)
        error = (rough - exact).norm() / exact.norm()
        same = (rough.argmax(-1) == likeliest).float().mean()
        five = (rough.topk(5).indices == likeliest[:, None]).any(-1).float().mean()
        print(f"| {name} | {error:.1%} | {same:.0%} | {five:.0%} |", flush=True)


if __name__ == "__main__":
    main()
