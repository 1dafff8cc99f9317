"""Decoding at the released size on this CPU: the compiled core, its plain twin, llama.cpp and the limits, in turn.

Random weights; 300 places of context; rounds of all sides but the plain one alternate, the best of each counts.
`python benchmarks/decode.py [--forms bfloat16 int8 int4] [--rounds 3] [--no-peer] [--no-plain]`
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import llama_cpp
from dsocr.bench import CONTEXT, decode_rate, head_bytes, step_bytes, stored
from dsocr.kernels import limits
from dsocr.model.quantised import can_shorten
from dsocr.model.released import random_network
from dsocr.model.speed import speed_up

PEER = {"bfloat16": "bf16", "int8": "q8_0", "int4": "q4_k_m"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forms", nargs="+", choices=PEER, default=list(PEER))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--no-plain", action="store_true")
    asked = parser.parse_args()
    print("| form | what | tokens/s | against |")
    print("|---|---|---|---|")
    for form in asked.forms:
        for row in measure(form, asked.rounds, peer=not asked.no_peer, plain=not asked.no_plain):
            print(row, flush=True)


def measure(form: str, rounds: int, *, peer: bool, plain: bool) -> list[str]:
    """The rows of the table for one form."""
    network = random_network(form)
    best, both = defaultdict[str, float](float), list[float]()

    def note(what: str, rate: float) -> None:
        best[what] = max(best[what], rate)

    torch.set_num_threads(1)
    if plain:  # first, from the weights as they are
        note("plain", decode_rate(network, 1, seconds=2.0 * rounds))
    speed_up(network)
    if can_shorten(network.decoder):  # as a checkpoint that is asked often is
        network.fast.shorten()
    for _ in range(rounds):
        torch.set_num_threads(1)
        note("memory", limits.read_bandwidth(1) or 0)
        note("1 at once", decode_rate(network, 1, seconds=4))
        note("16 at once", decode_rate(network, 16, seconds=6))
        if peer:
            note("llama.cpp", max(llama_cpp.measure(PEER[form], 1, load=how) for how in ("auto", "none")))
        torch.set_num_threads(2)
        both.append((limits.read_bandwidth(2) or 0) / (limits.read_bandwidth(1) or 1))
        note("1 at once, 2 threads", decode_rate(network, 1, seconds=4))
        note("16 at once, 2 threads", decode_rate(network, 16, seconds=6))
    read = step_bytes(network, CONTEXT)
    floor = best["memory"] / read
    whole = best["memory"] / (read - head_bytes(network) + stored(network.decoder.head))
    one = best["1 at once"]
    second = median(both)  # a thread that waits for a processor while the other reads makes it look like more
    rows = [
        (
            "1 at once",
            one,
            f"{one / floor:.0%} of the floor of {floor:.1f} ({best['memory'] / 1e9:.1f} GB/s)"
            f"; {one / whole:.0%} of every weight's, {whole:.1f}",
        ),
        (
            "1 at once, 2 threads",
            best["1 at once, 2 threads"],
            f"{best['1 at once, 2 threads'] / one:.2f} × one; memory gives two {second:.2f} × what it gives one",
        ),
        ("16 at once", best["16 at once"], f"{best['16 at once'] / one:.2f} × 1 at once"),
        (
            "16 at once, 2 threads",
            best["16 at once, 2 threads"],
            f"{best['16 at once, 2 threads'] / best['16 at once']:.2f} × one",
        ),
    ]
    if plain:
        rows.append(("plain PyTorch twin", best["plain"], f"{one / best['plain']:.1f} × faster here"))
    if peer:
        rows.append((f"llama.cpp {PEER[form]}", best["llama.cpp"], f"{one / best['llama.cpp']:.2f} × faster here"))
    return [f"| {form} | {what} | {rate:.1f} | {against} |" for what, rate, against in rows]


if __name__ == "__main__":
    main()
