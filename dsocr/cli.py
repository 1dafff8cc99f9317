"""The command line: `dsocr read` and `dsocr pull`; answers go to stdout or a folder, all else to stderr."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dsocr.errors import InputError

if TYPE_CHECKING:
    from dsocr.jobs.run import Output
    from dsocr.ocr import OCR

INTERRUPTED = 130

app = typer.Typer(
    name="dsocr",
    help="Read pages - pictures and PDFs - with DeepSeek-OCR.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


class NgramRule(str, Enum):
    """Which repeated n-grams may not be written again."""

    windowed = "windowed"
    huggingface = "huggingface"
    none = "none"


@app.command()
def read(
    files: Annotated[list[str], typer.Argument(help="PDF, PNG, JPEG, WebP, TIFF, BMP, GIF; folders; - for stdin.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the answers [stdout].")] = None,
    format: Annotated[str, typer.Option(help="One or more of md,json,txt,picture.")] = "md",
    model: Annotated[
        str | None, typer.Option(help="nano, a folder, or a hub name [the published one if it is here, else nano].")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(help="tiny, small, base, large, gundam, gundam-m [the model's own; published: gundam]."),
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="document, ocr, free, figure, describe, locate:TEXT, or any text.")
    ] = "document",
    pages: Annotated[str | None, typer.Option(help="Such as 1-3,7,10- ; counted from 1 [all].")] = None,
    dpi: Annotated[float, typer.Option(help="Resolution at which PDF pages are drawn.")] = 144.0,
    password: Annotated[str | None, typer.Option(help="For encrypted PDFs.")] = None,
    max_pixels: Annotated[int, typer.Option(help="Larger pages are refused (decompression bombs).")] = 178_956_970,
    max_tokens: Annotated[int | None, typer.Option(help="Most new tokens a page [as many as fit].")] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    ngram_rule: Annotated[NgramRule, typer.Option(help="Which repetitions are banned.")] = NgramRule.windowed,
    ngram_size: Annotated[int, typer.Option(help="Length of a repetition, in tokens.")] = 30,
    ngram_window: Annotated[int, typer.Option(help="How far back the windowed rule looks.")] = 90,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only on stderr.")] = False,
) -> None:
    """Read documents: Markdown to stdout as it is written, or files into a folder."""

    def work() -> int:
        from dsocr.engine.request import Sampling
        from dsocr.jobs.run import Run

        chosen = _choose_output(output, format)
        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            ngram_rule=ngram_rule.value,
            ngram_size=ngram_size,
            ngram_window=ngram_window,
        )
        options: dict[str, Any] = {"mode": mode, "prompt": prompt, "pages": pages, "dpi": dpi, "password": password}
        options |= {"max_pixels": max_pixels, "sampling": sampling}
        ocr = _load(model, device, dtype, quiet)
        ocr.check(mode, prompt)
        return Run(ocr, chosen, _noter(quiet), options).read(files)

    _leave(work)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A hub name.")] = "deepseek-ai/DeepSeek-OCR",
) -> None:
    """Download a checkpoint (6.7 GB for the published one); run again to go on where it stopped."""

    def work() -> int:
        from dsocr.model.checkpoint import pull_checkpoint

        print(pull_checkpoint(name))
        return 0

    _leave(work)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """What stands before any command."""
    if version:
        import dsocr

        print(f"dsocr {dsocr.__version__}")
        raise typer.Exit


def _choose_output(folder: Path | None, format: str) -> Output:
    from dsocr.jobs.outputs import Folder, Printer, parse_formats

    formats = parse_formats(format)
    return Folder(folder, formats) if folder else Printer(formats, _to_stdout)


def _load(model: str | None, device: str, dtype: str, quiet: bool) -> OCR:
    from dsocr.model.checkpoint import NANO, PUBLISHED, default_checkpoint
    from dsocr.ocr import load

    name = model or default_checkpoint()
    if model is None and not quiet:
        hint = f"; for {PUBLISHED} run: dsocr pull" if name == NANO else ""
        _note(f"reading with {name}{hint}")
    return load(name, device, dtype)


def _leave(work: Callable[[], int]) -> None:
    """Run a command; a person's mistake is one line and its exit code, Ctrl-C is 130."""
    # What picture libraries think of damaged metadata is not for the person who reads pages.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        code = work()
    except InputError as error:
        _note(f"error: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        _note("interrupted; what was read before is kept")
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more may be written, not even on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    raise typer.Exit(code)


def _to_stdout(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def _noter(quiet: bool) -> Callable[[str], None]:
    return lambda line: _note(line) if not quiet or line.startswith("error: ") else None


def _note(line: str) -> None:
    print(f"dsocr: {line}", file=sys.stderr)
