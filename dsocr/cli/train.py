"""`dsocr train`: teaches a checkpoint your pages, or makes one from nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dsocr.cli.console import leave, note
from dsocr.cli.options import named


def train(
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A recipe in TOML; nano, that of the embedded checkpoint; or nano-gpu, one for a large GPU.",
            show_default="one stage from the options below",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("-o", "--folder", metavar="DIR", parser=named, help="Where the checkpoint goes.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(metavar="DIR", parser=named, help="Your pages: NAME.png with NAME.txt or NAME.md.")
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=named, help="Pages to measure with.", show_default="8 are kept from the pairs"
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="NAME", help="nano, a folder, a hub name, or nothing.", show_default="nano")
    ] = None,
    lora: Annotated[
        int | None,
        typer.Option(metavar="RANK", help="Low-rank pairs learn, not the weights.", show_default="all weights learn"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, mps.", show_default="auto")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Of all chance.", show_default="1")] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Without --config: how many.", show_default="300")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER", help="Without --config: the highest.", show_default="1e-3 with --lora, else 2e-4"
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Without --config: pages a step.", show_default="2")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Without --config: how pages are looked at.", show_default="gundam"),
    ] = None,
) -> None:
    """Teach a checkpoint your pages, or make one from nothing.

    The folder then holds a checkpoint (dsocr read --model DIR), its log and its curves. A run that was killed goes on
    where it stood when it is started again in the same way. Several processes share the work under
    torchrun --nproc-per-node N -m dsocr train ...
    """

    def work() -> int:
        from dsocr.errors import InputError
        from dsocr.training.recipe_file import OWN_RECIPES, one_stage, read_recipe
        from dsocr.training.run import train as train_network

        top = {"folder": folder, "pairs": pairs, "held_out": held_out, "start": start, "lora": lora, "device": device}
        top |= {"seed": seed}
        own = {"steps": steps, "learning_rate": learning_rate, "batch": batch}
        changed = {name: value for name, value in top.items() if value is not None}
        asked = {name: value for name, value in own.items() if value is not None}
        if config is None:
            recipe = one_stage(changed, asked, mode or "gundam")
        elif asked or mode:
            raise InputError(
                f"--{next(iter(asked), 'mode').replace('_', '-')} goes without --config: set it in {config}"
            )
        else:
            recipe = read_recipe(OWN_RECIPES.get(config, Path(config).expanduser()), changed)
        _join_others(recipe.device)
        train_network(recipe, note)
        return 0

    leave(work)


def _join_others(device: str) -> None:
    """Under torchrun, know the other processes; each has a GPU of its own, or one thread of the CPU."""
    if "WORLD_SIZE" not in os.environ:
        return
    import torch
    import torch.distributed as dist

    if device in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
