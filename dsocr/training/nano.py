"""Makes nano from nothing, or trains it further: `python -m dsocr.training.nano FOLDER`; a killed run goes on.

Several processes share the work under `torchrun --nproc-per-node N -m dsocr.training.nano FOLDER`; on a CPU one
single-threaded process for each core is the fastest way.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist

from dsocr.model.tokenizer import Tokenizer
from dsocr.training.batches import Workshop
from dsocr.training.drawing import find_fonts
from dsocr.training.loop import Trainer, worker
from dsocr.training.recipe import STAGES, nano_config
from dsocr.training.text import collect_text
from dsocr.training.tokenizer_file import build_byte_tokenizer

SEED = 20261123


def make_nano(folder: Path, start: Path | None = None, seed: int = SEED) -> None:
    """Train nano in `folder`, which then is a whole checkpoint; from `start`, one of the same shape, only to read."""
    if not worker():
        folder.mkdir(parents=True, exist_ok=True)
        build_byte_tokenizer(folder / "tokenizer.json")
    if dist.is_initialized():
        dist.barrier()
    shop = Workshop(collect_text(), find_fonts(), Tokenizer(folder / "tokenizer.json"))
    config = nano_config(len(shop.tokenizer))
    if not worker():
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    place = os.environ.get("LOCAL_RANK", "0")
    device = torch.device(f"cuda:{place}" if torch.cuda.is_available() else "cpu")
    began = time.monotonic()

    def say(line: str) -> None:
        if worker():
            return
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            print(f"{time.monotonic() - began:7.0f} s  {line}", file=log)

    trainer = Trainer(config, shop, folder, seed=seed, device=device)
    if start:
        trainer.start_from(start)
    trainer.run(STAGES[-1:] if start else STAGES, say)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dsocr.training.nano")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/nano"))
    parser.add_argument("--from", dest="start", type=Path, help="a checkpoint to train further, such as dsocr/nano")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    make_nano(asked.folder, asked.start, asked.seed)
