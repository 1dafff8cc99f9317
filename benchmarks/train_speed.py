"""How long a step of training takes for every kind of whole page, and how fast other processes draw pages for it.

    python benchmarks/train_speed.py [RECIPE] [--device cuda] [--plain] [--steps 12] [--seconds 10]

RECIPE: a file, or nano-gpu, whose last stage is timed. The first step of a kind is told apart: its layers are compiled.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from dsocr.kernels import amx_attention, learned_rows
from dsocr.training.loop import Trainer
from dsocr.training.recipe import Stage
from dsocr.training.recipe_file import OWN_RECIPES, read_recipe
from dsocr.training.run import open_trainer
from dsocr.training.sheets.supply import free_cores, supply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="nano-gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--places", type=int, help="of a batch, instead of the recipe's")
    parser.add_argument("--plain", action="store_true", help="on a CPU, without the compiled core")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if asked.plain and device.type != "cpu":
        parser.error("--plain goes with --device cpu: a GPU knows no compiled core")
    if asked.plain:
        learned_rows.core = amx_attention._core = lambda: None
    with tempfile.TemporaryDirectory() as folder:
        recipe = read_recipe(OWN_RECIPES.get(asked.recipe, Path(asked.recipe)), {"folder": Path(folder)})
        trainer = open_trainer(recipe, device, print)
        stage = replace(recipe.stage[-1], minutes=0.0, seen=1, places=asked.places or recipe.stage[-1].places)
        for kind in stage.kinds:
            try:
                print(timed(trainer, replace(stage, kinds={kind: 1.0}), kind, asked.steps), flush=True)
            except Exception:  # the others are timed all the same
                traceback.print_exc()
        print(drawn(trainer, stage, asked.seconds), flush=True)


def timed(trainer: Trainer, stage: Stage, kind: str, steps: int) -> str:
    """The same batch over and over."""
    trainer.step, trainer.spent = 0, 0.0
    trainer.begin(stage)
    began = time.perf_counter()
    batch = trainer.sheets(stage, 0)
    drawn = time.perf_counter() - began
    trainer._sheets, trainer._shown = itertools.repeat(batch), {}
    first = waited(trainer, stage, 1)
    waited(trainer, stage, min(2, steps))
    each = waited(trainer, stage, steps) / steps
    pages = len(batch.ids)
    taken = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if trainer.network.device.type == "cuda" else ""
    return (
        f"{kind:8} {pages:4} pages drawn in {drawn:5.2f} s, first step {first:6.1f} s, others {each * 1e3:7.0f} ms, "
        f"{pages / each:7.1f} pages/s{taken}"
    )


def waited(trainer: Trainer, stage: Stage, steps: int) -> float:
    """Seconds for so many steps, until the device is through."""
    began = time.perf_counter()
    for _ in range(steps):
        shown = trainer.train_step(stage)
        trainer._shown.clear()
        trainer._looked.clear()
    shown["norm"].item()
    return time.perf_counter() - began


def drawn(trainer: Trainer, stage: Stage, seconds: float) -> str:
    processes = free_cores(trainer.network.device)
    batches = supply(lambda number: trainer.sheets(stage, number), 0, processes)
    next(batches)
    began, kinds = time.perf_counter(), Counter[str]()
    while time.perf_counter() - began < seconds:
        kinds[next(batches).kind] += 1
    rate = kinds.total() / (time.perf_counter() - began)
    return f"{processes} processes draw {rate:.1f} batches/s: {dict(kinds)}"


if __name__ == "__main__":
    main()
