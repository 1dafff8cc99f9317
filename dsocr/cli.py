"""The command line: `dsocr read`, `bench` and `pull`; answers go to stdout or a folder, all else to stderr."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsocr.errors import FileAccessError, InputError

if TYPE_CHECKING:
    from dsocr.jobs.run import Output
    from dsocr.ocr import OCR

INTERRUPTED = 130
_DTYPES_HELP = "auto, float32, bfloat16, float16; int8, int4: the decoder in few bits."

app = typer.Typer(
    name="dsocr",
    help="Read pages - pictures and PDFs - with DeepSeek-OCR.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # Boxes leave half of 80 columns for the words, and take [brackets] in them for colours.
    rich_markup_mode=None,
)


class NgramRule(str, Enum):
    """Which repeated n-grams may not be written again."""

    windowed = "windowed"
    huggingface = "huggingface"
    none = "none"


@app.command()
def read(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="PDF, PNG, JPEG, WebP, TIFF, BMP, GIF; folders of them; - for stdin."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the answers.", show_default="stdout"),
    ] = None,
    format: Annotated[str, typer.Option(metavar="NAMES", help="One or more of md,json,txt,picture.")] = "md",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="nano, a folder, or a hub name.",
            show_default="the published one if it is here, else nano",
        ),
    ] = None,
    mode: Annotated[str, typer.Option(metavar="NAME", help="tiny, small, base, large, gundam, gundam-m.")] = "gundam",
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="document, ocr, free, figure, describe, locate:TEXT, or any text.")
    ] = "document",
    pages: Annotated[
        str | None, typer.Option(metavar="RANGES", help="Such as 1-3,7,10- counted from 1.", show_default="all")
    ] = None,
    dpi: Annotated[float, typer.Option(metavar="NUMBER", help="Resolution at which PDF pages are drawn.")] = 144.0,
    password: Annotated[str | None, typer.Option(metavar="TEXT", help="For encrypted PDFs.")] = None,
    max_pixels: Annotated[
        int, typer.Option(metavar="NUMBER", help="Larger pages are refused (decompression bombs).")
    ] = 178_956_970,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Most new tokens a page.", show_default="as many as fit")
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="NUMBER", help="0 always takes the likeliest token; more takes chances.")
    ] = 0.0,
    ngram_rule: Annotated[
        NgramRule,
        typer.Option(
            metavar="NAME",
            help="Which repetitions are banned: windowed (near ones, tables spared), huggingface (all) or none.",
        ),
    ] = NgramRule.windowed,
    ngram_size: Annotated[
        int, typer.Option(metavar="NUMBER", help="A repetition is as many tokens as this, again.")
    ] = 30,
    ngram_window: Annotated[
        int, typer.Option(metavar="NUMBER", help="How many tokens back the windowed rule looks.")
    ] = 90,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(metavar="NAME", help=_DTYPES_HELP)] = "auto",
    batch: Annotated[int, typer.Option(metavar="NUMBER", help="Most pages read at once.")] = 8,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="For the text being read, such as 4G or 500M.",
            show_default="half of what is free",
        ),
    ] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="A line of figures for each page on stderr: tokens, seconds.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only on stderr.")] = False,
) -> None:
    """Read documents to Markdown, text, JSON or drawings.

    Markdown goes to stdout while it is written; with -o, all that is asked for goes into a folder.

    Exit codes: 0 every page is ok, 10 some are not (their files say why), 2 a mistake in what was asked or given,
    5 a file or folder that may not be read or written, 8 a password is missing or wrong, 130 interrupted.
    """

    def work() -> int:
        from dsocr.engine.request import Sampling
        from dsocr.jobs.run import Run
        from dsocr.ocr import Options

        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            ngram_rule=ngram_rule.value,
            ngram_size=ngram_size,
            ngram_window=ngram_window,
        )
        options = Options(mode, prompt, pages, dpi, password, max_pixels, sampling)
        options.check()
        chosen = _choose_output(output, format)
        ocr = _load(model, device, dtype, quiet, batch, memory)
        with _progress(shown=output is not None and not quiet) as progress:
            figures = _note if stats else lambda _: None
            return Run(ocr, chosen, options, _noter(quiet), progress, figures).read(files)

    _leave(work)


@app.command()
def bench(
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="nano, a folder, a hub name; released: its size, random weights."),
    ] = "released",
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(metavar="NAME", help=_DTYPES_HELP)] = "auto",
    batch: Annotated[str, typer.Option(metavar="NUMBERS", help="How many pages are written at once.")] = "1,4,16",
    threads: Annotated[int | None, typer.Option(metavar="NUMBER", help="Of the CPU.", show_default="all")] = None,
    seconds: Annotated[float, typer.Option(metavar="NUMBER", help="How long each rate is measured.")] = 3.0,
) -> None:
    """Measure how fast pages are read here, beside what this machine can do at most. Takes about a minute."""

    def work() -> int:
        from dsocr.bench import parse_batches, run

        run(model, device, dtype, parse_batches(batch), threads, seconds, lambda line: print(line, flush=True))
        return 0

    _leave(work)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A hub name.")] = "deepseek-ai/DeepSeek-OCR",
) -> None:
    """Download a checkpoint. The published one has 6.7 GB; files that are already whole are not fetched again."""

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


def _load(model: str | None, device: str, dtype: str, quiet: bool, batch: int, memory: str | None) -> OCR:
    from dsocr.model.checkpoint import NANO, PUBLISHED, default_checkpoint
    from dsocr.ocr import load

    name = model or default_checkpoint()
    if model is None and not quiet:
        hint = f"; for {PUBLISHED} run: dsocr pull" if name == NANO else ""
        _note(f"reading with {name}{hint}")
    return load(name, device, dtype, batch=batch, memory=memory)


def _leave(work: Callable[[], int]) -> None:
    """Run a command; a person's mistake is one line and its exit code, Ctrl-C and a polite kill are 130."""
    with suppress(ValueError):  # only the main thread may say what a signal does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What picture libraries think of damaged metadata is not for the person who reads pages.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        code = work()
    except InputError as error:
        _note(f"error: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        _note("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:  # Whoever read our output has had enough.
        _close_stdout()
        code = 0
    except OSError as error:
        _note(f"error: cannot go on ({error.strerror or error})")
        _close_stdout()
        code = FileAccessError.exit_code
    raise typer.Exit(code)


def _to_stdout(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def _close_stdout() -> None:
    """What still waits to be written goes nowhere, or Python would try once more on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[str], None]]:
    """A line on the terminal that moves while pages are read into a folder; nothing where there is no terminal."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as status:
        yield lambda line: status.update(escape(line))


def _noter(quiet: bool) -> Callable[[str], None]:
    return lambda line: _note(line) if not quiet or line.startswith("error: ") else None


def _note(line: str) -> None:
    print("dsocr:", " ".join(line.splitlines()), file=sys.stderr)
