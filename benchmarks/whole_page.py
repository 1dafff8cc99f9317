"""A whole page at the released size: encoding, prompt and 500 tokens, fast against plain; and many pages in a batch.

Random weights, so that what is written means nothing. `python benchmarks/whole_page.py [--dtype int8] [--tokens 500]`
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from PIL import Image

from dsocr.engine.engine import Engine
from dsocr.engine.request import Request, Sampling
from dsocr.model.checkpoint import find_checkpoint
from dsocr.model.network import Network
from dsocr.model.released import random_network
from dsocr.model.speed import speed_up
from dsocr.model.tokenizer import Tokenizer
from dsocr.pages import get_mode
from dsocr.pages.tiling import make_views

A4 = Image.new("RGB", (1240, 1754), "white")  # at 150 dpi


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--batch-mode", default="tiny")
    parser.add_argument("--batch-tokens", type=int, default=100)
    parser.add_argument("--no-plain", action="store_true")
    asked = parser.parse_args()
    # A tokenizer that never meets its end of text: what random weights say is of one length.
    tokenizer = Tokenizer(find_checkpoint("nano") / "tokenizer.json")
    tokenizer.eos = -1
    plain = 0.0
    if not asked.no_plain:
        network = random_network("bfloat16")
        plain = read(network, tokenizer, "gundam", 1, asked.tokens, 1)
        print(f"plain PyTorch, bfloat16: one gundam page {plain:.1f} s", flush=True)
        del network
    network = random_network(asked.dtype)
    speed_up(network)
    fast = read(network, tokenizer, "gundam", 1, asked.tokens, 1)
    print(
        f"fast, {asked.dtype}: one gundam page {fast:.1f} s" + (f", {plain / fast:.2f} ×" if plain else ""), flush=True
    )
    work = asked.batch_mode, asked.pages, asked.batch_tokens
    alone, together = (read(network, tokenizer, *work, batch) for batch in (1, 16))
    print(f"{asked.pages} {asked.batch_mode} pages of {asked.batch_tokens} tokens: one by one {alone:.1f} s, ", end="")
    print(f"16 at once {together:.1f} s, {alone / together:.2f} ×")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB")


def read(network: Network, tokenizer: Tokenizer, mode: str, pages: int, tokens: int, batch: int) -> float:
    """Seconds for so many pages."""
    views = make_views(A4, get_mode(mode))
    words = [4, 5, 6, 7, 8]
    ids = (0, *[network.image_token_id] * len(views.layout), *words)
    engine = Engine(network, tokenizer, batch=batch, memory=3 * 2**30)
    began = time.perf_counter()
    streams = [engine.stream(Request(ids, (views,), Sampling(max_tokens=tokens))) for _ in range(pages)]
    written = sum(len(delta.ids) for stream in streams for delta in stream)
    seconds = time.perf_counter() - began
    engine.close()
    assert written == pages * tokens
    return seconds


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
