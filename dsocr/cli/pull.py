"""`dsocr pull`: downloads a checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from dsocr.cli.console import leave


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A hub name.")] = "deepseek-ai/DeepSeek-OCR",
) -> None:
    """Download a checkpoint. The published one has 6.7 GB; files that are already whole are not fetched again."""

    def work() -> int:
        from dsocr.model.checkpoint import pull_checkpoint

        print(pull_checkpoint(name))
        return 0

    leave(work)
