"""How far few bits move the logits of the released size: the weight recipe in float32 against bfloat16, int8, int4.

    python benchmarks/few_bits.py [--places 128]

14 GB of memory and some minutes. The prompt is random ids; every place of it gives a row of logits. The routers of
random weights decide by a hair's breadth, so that rounding sends many rows to other experts: the second line of each
form tells what is left of the error when they go to those of the exact network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import KVPool, blocks_for
from dsocr.model.moe import MixtureOfExperts
from dsocr.model.network import Network
from dsocr.model.quantised import BITS, quantise
from dsocr.model.speed import speed_up

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from recipe_weights import drawn_network


def logits_of(network: Network, ids: list[int]) -> Tensor:
    """[places, vocab], float32."""
    config, dtype = network.config.decoder, network.dtype
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, blocks_for(len(ids)), dtype, network.device)
    span = Span(pool.take(pool.blocks), 0, len(ids))
    x = network.embed(torch.tensor([ids]), None)[0]
    return network.step(x, Batch(pool, [span]), list(range(len(ids))))


Routes = list[tuple[Tensor, Tensor]]


@contextmanager
def routes_told(routes: Routes) -> Iterator[None]:
    """What the routers choose is written down, layer after layer."""
    plain = MixtureOfExperts.route

    def told(moe: MixtureOfExperts, tokens: Tensor) -> tuple[Tensor, Tensor]:
        routes.append(plain(moe, tokens))
        return routes[-1]

    with patched(told):
        yield


@contextmanager
def patched(route: Callable[[MixtureOfExperts, Tensor], tuple[Tensor, Tensor]]) -> Iterator[None]:
    plain = MixtureOfExperts.route
    MixtureOfExperts.route = route
    try:
        yield
    finally:
        MixtureOfExperts.route = plain


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=128)
    asked = parser.parse_args()
    ids = torch.randint(100_000, (asked.places,), generator=torch.Generator().manual_seed(0)).tolist()
    routes: Routes = []
    with routes_told(routes):
        exact = logits_of(drawn_network(), ids)
    print("| decoder | relative error of the logits | same likeliest id | exact likeliest among the first five |")
    print("|---|---|---|---|")
    print(line("bfloat16", logits_of(drawn_network().to(torch.bfloat16), ids), exact), flush=True)
    for name, bits in BITS.items():
        network = drawn_network()
        quantise(network.decoder, bits)
        speed_up(network)
        print(line(name, logits_of(network, ids), exact), flush=True)
        network.fast = None  # the plain twin lets itself be led
        ahead = iter(routes)
        with patched(lambda moe, tokens, ahead=ahead: next(ahead)):
            print(line(f"{name}, the exact network's experts", logits_of(network, ids), exact), flush=True)
        del network


def line(name: str, rough: Tensor, exact: Tensor) -> str:
    """One line of the table."""
    likeliest = exact.argmax(-1)
    error = (rough - exact).norm() / exact.norm()
    same = (rough.argmax(-1) == likeliest).float().mean()
    five = (rough.topk(5).indices == likeliest[:, None]).any(-1).float().mean()
    return f"| {name} | {error:.1%} | {same:.0%} | {five:.0%} |"


if __name__ == "__main__":
    main()
