"""The command line: every command by its name; what one needs is imported when it is asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from dsocr.cli.bench import bench
from dsocr.cli.console import leave, to_stdout
from dsocr.cli.doctor import doctor
from dsocr.cli.evaluate import app as evaluate
from dsocr.cli.pull import pull
from dsocr.cli.read import read
from dsocr.cli.serve import serve
from dsocr.cli.train import train

app = typer.Typer(
    name="dsocr",
    help="Read pages - pictures and PDFs - with DeepSeek-OCR.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # Boxes leave half of 80 columns for the words, and take [brackets] in them for colours.
    rich_markup_mode=None,
)

for command in (read, serve, bench, pull, train, doctor):
    app.command()(command)
app.add_typer(evaluate, name="eval")


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """What stands before any command."""
    if version:
        import dsocr

        def work() -> int:
            to_stdout(f"dsocr {dsocr.__version__}\n")
            return 0

        leave(work)
