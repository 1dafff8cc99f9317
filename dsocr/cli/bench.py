"""`dsocr bench`: how fast pages are read here, beside what this machine can do at most."""

from __future__ import annotations

from typing import Annotated

import typer

from dsocr.cli.console import leave, to_stdout
from dsocr.cli.options import Device, Dtype


def bench(
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="nano, a folder, a hub name; released: its size, random weights."),
    ] = "released",
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Annotated[str, typer.Option(metavar="NUMBERS", help="How many pages are written at once.")] = "1,4,16",
    threads: Annotated[int | None, typer.Option(metavar="NUMBER", help="Of the CPU.", show_default="all")] = None,
    seconds: Annotated[float, typer.Option(metavar="NUMBER", min=0.0, help="How long each rate is measured.")] = 3.0,
) -> None:
    """Measure how fast pages are read here, beside what this machine can do at most. Takes about a minute."""

    def work() -> int:
        from dsocr.bench import parse_batches, run

        run(model, device, dtype, parse_batches(batch), threads, seconds, lambda line: to_stdout(f"{line}\n"))
        return 0

    leave(work)
