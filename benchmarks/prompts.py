"""Reading a prompt at the released size on this CPU: as a prompt (on tiles, where there are any) and as other rows.

Random weights, those of bfloat16 shortened as a checkpoint's are; the two ways alternate, the best of each counts.
`python benchmarks/prompts.py [--forms bfloat16 int8] [--places 903] [--threads 1 2] [--rounds 2]`
"""

from __future__ import annotations

import argparse

import torch

from dsocr.bench import prompt_seconds
from dsocr.model.quantised import can_shorten
from dsocr.model.released import random_network
from dsocr.model.speed import speed_up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forms", nargs="+", default=["bfloat16", "int8"])
    parser.add_argument("--places", type=int, default=903)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    print("| form | threads | as other rows, s | as a prompt, s | |")
    print("|---|---|---|---|---|")
    for form in asked.forms:
        network = random_network(form)
        speed_up(network)
        if can_shorten(network.decoder):
            network.fast.shorten()
        for threads in asked.threads:
            torch.set_num_threads(threads)
            taken = {False: float("inf"), True: float("inf")}
            for _ in range(asked.rounds):
                for given in taken:
                    seconds = prompt_seconds(network, asked.places, given=given, seconds=0.1)
                    taken[given] = min(taken[given], seconds)
            times = taken[False] / taken[True]
            print(f"| {form} | {threads} | {taken[False]:.2f} | {taken[True]:.2f} | {times:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
