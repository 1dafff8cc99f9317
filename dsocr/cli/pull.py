"""`dsocr pull`: downloads a checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from dsocr.cli.console import leave, to_stdout


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A hub name.")] = "deepseek-ai/DeepSeek-OCR",
) -> None:
    """Download a checkpoint. The published one has 6.7 GB; files that are already whole are not fetched again."""

    def work() -> int:
        from dsocr.model.checkpoint import pull_checkpoint

        to_stdout(f"{pull_checkpoint(name)}\n")
        return 0

    leave(work)
