"""`dsocr eval`: the published benchmarks, the compression curve, pages a day, and other programs beside this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsocr.cli.console import leave, open_voice
from dsocr.cli.evaluate_asked import Asked, describe, describe_servers
from dsocr.cli.evaluate_words import find_paths, parse_modes, parse_numbers, parse_size, read_prose
from dsocr.cli.options import (
    Device,
    Dtype,
    Engine,
    EngineKey,
    Loops,
    MaxTokens,
    Mode,
    Model,
    OnLoop,
    Quiet,
    named,
)

if TYPE_CHECKING:
    from dsocr.evaluation.report.writer import Fact, Report
    from dsocr.evaluation.trial import Benchmark
    from dsocr.jobs.job import Voice
    from dsocr.ocr import OCR
    from dsocr.remote import RemoteReader

app = typer.Typer(
    help="Measure how well and how fast pages are read, beside what was published. "
    "Exit codes: 10 all is done and told, but some page (for compare: some file) could not be read; the others as for "
    "read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Benchmark = Annotated[Path, typer.Argument(metavar="FOLDER", parser=named, help="The benchmark as it is unpacked.")]
_Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="PDFs, pictures, folders of them.")]
_Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR", parser=named, help="Folder for the report.", show_default="dsocr-eval/NAME"
    ),
]
_Predictions = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Score what was read before, or by others, and read nothing; may be repeated."),
]
_Modes = Annotated[str, typer.Option(metavar="NAMES", help="Such as tiny,small: each reads all pages.")]
_Limit = Annotated[int | None, typer.Option(metavar="NUMBER", min=1, help="Only the first pages.", show_default="all")]
_Prompt = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="As for read.", show_default="free for fox, document for the others"),
]
_FreePrompt = Annotated[str, typer.Option(metavar="TEXT", help="As for read.")]
_Batch = Annotated[
    int | None,
    typer.Option(metavar="NUMBER", min=1, help="Most pages read at once.", show_default="8; 16 with --engine"),
]
_Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whose tokens the text is counted in: nano, a folder, or a hub name.",
        show_default="the checkpoint that reads here, or would",
    ),
]


@app.command()
def fox(
    folder: _Benchmark,
    output: _Output = None,
    predictions: _Predictions = None,
    modes: _Modes = "tiny,small",
    limit: _Limit = None,
    model: Model = None,
    tokenizer: _Tokenizer = None,
    prompt: _Prompt = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: _Batch = None,
    max_tokens: MaxTokens = None,
    loops: OnLoop = Loops.stop,
    engine: Engine = None,
    engine_key: EngineKey = None,
    quiet: Quiet = False,
) -> None:
    """Fox: dense pages read at high compression, beside the paper's table.

    FOLDER has en_page_ocr.json and en_pdf_png, and the same with cn. Predictions are called after the pictures,
    en_1.md for en_1.png; results_final.json is written beside the report for Fox's own scripts.
    """

    def open_it() -> Benchmark:
        from dsocr.evaluation.fox.trial import open_fox

        return open_fox(folder, limit)

    asked = Asked(model, device, dtype, batch, max_tokens, engine, engine_key, tokenizer, loops.value)
    leave(partial(_evaluate, "fox", open_it, asked, output, predictions, modes, prompt, quiet))


@app.command()
def omnidocbench(
    folder: _Benchmark,
    output: _Output = None,
    predictions: _Predictions = None,
    modes: _Modes = "gundam",
    version: Annotated[str, typer.Option(metavar="NAME", help="How blocks are matched: 1.0 or 1.5.")] = "1.5",
    limit: _Limit = None,
    model: Model = None,
    tokenizer: _Tokenizer = None,
    prompt: _Prompt = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: _Batch = None,
    max_tokens: MaxTokens = None,
    loops: OnLoop = Loops.stop,
    engine: Engine = None,
    engine_key: EngineKey = None,
    quiet: Quiet = False,
) -> None:
    """OmniDocBench: text, formulas, tables and reading order, beside what was published.

    FOLDER has OmniDocBench.json and images. Predictions are called after the pictures: page.md for page.png.
    """

    def open_it() -> Benchmark:
        from dsocr.evaluation.omnidocbench.trial import open_omnidocbench

        return open_omnidocbench(folder, (output or _place("omnidocbench")) / "cdm", limit, version)

    asked = Asked(model, device, dtype, batch, max_tokens, engine, engine_key, tokenizer, loops.value)
    leave(partial(_evaluate, "omnidocbench", open_it, asked, output, predictions, modes, prompt, quiet))


@app.command("olmocr-bench")
def olmocr_bench(
    folder: _Benchmark,
    output: _Output = None,
    predictions: _Predictions = None,
    modes: _Modes = "gundam",
    limit: _Limit = None,
    model: Model = None,
    prompt: _Prompt = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: _Batch = None,
    max_tokens: MaxTokens = None,
    loops: OnLoop = Loops.stop,
    engine: Engine = None,
    engine_key: EngineKey = None,
    quiet: Quiet = False,
) -> None:
    """olmOCR-bench: small tests of what must stand in a page's text, and what must not.

    FOLDER is its bench_data, with pdfs and the files of tests (.jsonl). Predictions are called after the PDFs, in
    folders like theirs: tables/a_pg1_repeat1.md for pdfs/tables/a.pdf.
    """

    def open_it() -> Benchmark:
        from dsocr.evaluation.olmocr.trial import open_olmocr

        return open_olmocr(folder, limit)

    asked = Asked(model, device, dtype, batch, max_tokens, engine, engine_key, None, loops.value)
    leave(partial(_evaluate, "olmocr-bench", open_it, asked, output, predictions, modes, prompt, quiet))


@app.command()
def compression(
    output: _Output = None,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", parser=named, help="Prose to draw.", show_default="a few letters written for this"
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Text tokens on a page.")
    ] = "50,100,200,300,450,600,800,1000,1200",
    each: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Pages of each length.")] = 3,
    size: Annotated[str, typer.Option(metavar="SIZE", help="Of a page, in pixels.")] = "640x640",
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Other pages of the same kind.")] = 0,
    modes: _Modes = "tiny,small,base,gundam",
    model: Model = None,
    tokenizer: _Tokenizer = None,
    prompt: _FreePrompt = "free",
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: _Batch = None,
    max_tokens: MaxTokens = None,
    loops: OnLoop = Loops.stop,
    engine: Engine = None,
    engine_key: EngineKey = None,
    quiet: Quiet = False,
) -> None:
    """The paper's curve in small: ever more text on a page of one size, read with ever fewer vision tokens.

    The text is printed as large as fits, up to 26 pixels. A page of at most 640 pixels a side has no tiles: gundam
    then reads it as base does.
    """
    asked = Asked(model, device, dtype, batch, max_tokens, engine, engine_key, tokenizer, loops.value)

    def work() -> int:
        from dsocr.evaluation import compression as curve
        from dsocr.evaluation.drawn.letters import LETTERS
        from dsocr.evaluation.fox.trial import paper_curves
        from dsocr.evaluation.report.published import fox_table

        wanted, counts, pixels = parse_modes(modes), parse_numbers(lengths), parse_size(size)
        ways, counter = asked.options(wanted, prompt), asked.counter()
        sheets = curve.draw_sheets(read_prose(text) if text else LETTERS, counter, counts, each, pixels, seed)
        with open_voice(quiet, stats=False, moves=True) as voice:
            who = asked.who(ways, voice.note)
            voice.note(f"{len(sheets)} pages, each in {len(wanted)} modes, with {who.name}")
            reader = who.open()
            pages = curve.read_sheets(reader, sheets, ways, _mover(voice))
            facts = *describe(asked, who, ways), *describe_servers(reader)
            report = curve.report(pages, sheets, counter, facts, (fox_table(),), paper_curves())
            _give(report, output or _place("compression"), voice)
        return _exit_code(any(page.failed for page in pages))

    leave(work)


@app.command()
def throughput(
    files: _Files,
    output: _Output = None,
    seconds: Annotated[
        float, typer.Option(metavar="NUMBER", min=0.0, help="All files are read, again and again, for so long.")
    ] = 60.0,
    mode: Mode = "gundam",
    prompt: _FreePrompt = "document",
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: _Batch = None,
    max_tokens: MaxTokens = None,
    engine: Engine = None,
    engine_key: EngineKey = None,
    quiet: Quiet = False,
) -> None:
    """Pages a day on this device, opening and drawing them included, beside the published figures.

    All files are read once to warm up, and that does not count. Pages that repeat themselves are read again, as by
    `dsocr read`: that is part of the pace.
    """
    asked = Asked(model, device, dtype, batch, max_tokens, engine, engine_key)

    def work() -> int:
        from dsocr.evaluation import throughput as pace
        from dsocr.pages import find_inputs

        ways = asked.options([mode], prompt)
        sources = list(find_inputs(files))
        with open_voice(quiet, stats=False, moves=True) as voice:
            who = asked.who(ways, voice.note, "--mode")
            reader = who.open()
            measured = pace.measure(reader, sources, ways[0], seconds, voice.note)
            facts = (*describe(asked, who, ways), *describe_servers(reader), *pace.describe(reader))
            _give(pace.report(measured, facts), output or _place("throughput"), voice)
        return _exit_code(len(measured.read) < len(measured.pages))

    leave(work)


@app.command()
def compare(
    files: _Files,
    contestant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME=COMMAND {file}'",
            help="A program that writes a file's text to stdout; run without a shell; may be repeated.",
        ),
    ] = None,
    output: _Output = None,
    limit: Annotated[float, typer.Option(metavar="SECONDS", help="For a command and a file.")] = 120.0,
    alone: Annotated[bool, typer.Option("--alone", help="Only the contestants, without dsocr.")] = False,
    mode: Mode = "gundam",
    prompt: _FreePrompt = "document",
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: _Batch = None,
    max_tokens: MaxTokens = None,
    engine: Engine = None,
    engine_key: EngineKey = None,
    quiet: Quiet = False,
) -> None:
    """dsocr beside other programs, on your files: how well, where page.txt beside page.png tells, and how fast.

    For example: --contestant 'tesseract=tesseract {file} stdout'

    dsocr reads as `dsocr read` does, pages that repeat themselves included, and a file with a page that is not ok or
    blank counts as failed, as one does for which a command ends with an error.
    """
    asked = Asked(model, device, dtype, batch, max_tokens, engine, engine_key)

    def work() -> int:
        from dsocr.errors import InputError
        from dsocr.evaluation import compare as contest

        if alone and engine:
            raise InputError("--alone leaves dsocr out: leave out --alone, or --engine")
        paths = find_paths(files)
        contestants = [contest.parse_contestant(each, limit) for each in contestant or ()]
        if alone and not contestants:
            raise InputError("--alone leaves nobody to read: give a --contestant")
        ways, facts = asked.options([mode], prompt), tuple["Fact", ...]()
        with open_voice(quiet, stats=False, moves=True) as voice:
            if not alone:
                who = asked.who(ways, voice.note, "--mode")
                reader = who.open()
                facts = *describe(asked, who, ways), *describe_servers(reader)
                own = contest.own_contestant(reader, ways[0], f"{who.name}, {mode}, prompt {prompt}")
                contest.warm_up(own, paths[0])
                contestants = [own, *contestants]
            measured = contest.compare(contestants, paths, _mover(voice))
            _give(contest.report(measured, contestants, facts), output or _place("compare"), voice)
        return _exit_code(any(each.failure for each in measured))

    leave(work)


def _evaluate(
    name: str,
    open_it: Callable[[], Benchmark],
    asked: Asked,
    output: Path | None,
    predictions: Sequence[Path] | None,
    modes: str,
    prompt: str | None,
    quiet: bool,
) -> int:
    """Read a benchmark, or take what was read, and tell what came out."""
    from dsocr.errors import InputError
    from dsocr.evaluation.predict import Way
    from dsocr.evaluation.report.writer import Fact
    from dsocr.evaluation.trial import find_trials, read_trials, report, some_failed

    if predictions and asked.engine:
        raise InputError("with --predictions nothing is read: leave out --predictions, or --engine")
    benchmark, folder = open_it(), output or _place(name)
    counter, wanted, failed = asked.counter(), parse_modes(modes), False
    question = prompt or benchmark.prompt
    with open_voice(quiet, stats=False, moves=True) as voice:
        if predictions:
            trials = find_trials(benchmark, predictions)
            facts = tuple(Fact(trial.name, str(trial.folder)) for trial in trials)
        else:
            ways = asked.options(wanted, question)
            who, opened = asked.who(ways, voice.note), list["OCR | RemoteReader"]()

            def open_reader() -> OCR | RemoteReader:
                opened.append(who.open())
                return opened[0]

            way = Way(who.name, wanted[0], question, asked.dtype, asked.max_tokens, asked.loops)
            trials = read_trials(benchmark, open_reader, ways, way, folder, voice.note, _mover(voice))
            facts = describe(asked, who, ways)
            for reader in opened:
                facts += describe_servers(reader)
            failed = some_failed(trials)
        voice.note("scoring")
        _give(report(benchmark, trials, counter, facts), folder, voice)
        benchmark.write_more(trials, folder)
    return _exit_code(failed)


def _give(report: Report, folder: Path, voice: Voice) -> None:
    """The report on stdout and in a folder."""
    from dsocr.evaluation.report.writer import as_markdown, write_report

    files = write_report(report, folder)
    voice.say(as_markdown(report))
    voice.note(f"written to {folder}: {', '.join(file.name for file in files)}")


def _exit_code(failed: bool) -> int:
    """As for read, except that here only pages count that could not be read."""
    from dsocr.jobs.run import SOME_PAGES_NOT_OK

    return SOME_PAGES_NOT_OK if failed else 0


def _mover(voice: Voice) -> Callable[[str], None]:
    """For what changes with every page: the line that moves, or where there is no terminal one line each."""
    return voice.show_line or voice.note


def _place(name: str) -> Path:
    return Path("dsocr-eval", name)
