"""`dsocr eval`: the published benchmarks, the compression curve, pages a day, and other programs beside this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsocr.cli.console import leave, open_voice
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
    check_engine,
)

if TYPE_CHECKING:
    from dsocr.evaluation.report.writer import Fact, Report
    from dsocr.evaluation.trial import Benchmark, TokenCounter
    from dsocr.jobs.job import Voice
    from dsocr.ocr import OCR, Options
    from dsocr.ocr import Loops as WhatOfLoops
    from dsocr.remote import RemoteReader

app = typer.Typer(
    help="Measure how well and how fast pages are read, beside what was published. "
    "Exit codes: 10 all is done and told, but some page (for compare: some file) could not be read; the others as for "
    "read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Benchmark = Annotated[Path, typer.Argument(metavar="FOLDER", help="The benchmark as it is unpacked.")]
_Files = Annotated[list[str], typer.Argument(metavar="FILE", help="PDFs, pictures, folders of them.")]
_Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="Folder for the report.", show_default="dsocr-eval/NAME"),
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
_BATCH = 8  # pages at once where the model is loaded here
_SIDES = 64, 8192  # pixels of a drawn page


@dataclass(frozen=True)
class Who:
    """Who reads: its name, and a way to it, which is taken when there is something to read."""

    name: str
    open: Callable[[], OCR | RemoteReader]


@dataclass(frozen=True)
class Asked:
    """What the commands that read have in common."""

    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: int | None = None
    max_tokens: int | None = None
    engine: Sequence[str] | None = None
    engine_key: str | None = None
    tokenizer: str | None = None
    loops: WhatOfLoops = "rescue"

    def options(self, modes: Sequence[str], prompt: str) -> tuple[Options, ...]:
        """How pages are read in each mode; InputError for what cannot be."""
        from dsocr.engine.request import Sampling
        from dsocr.ocr import Options

        sampling = Sampling(max_tokens=self.max_tokens)
        ways = tuple(Options(mode, prompt, sampling=sampling, loops=self.loops) for mode in modes)
        for way in ways:
            way.check()
        return ways

    def who(self, ways: Sequence[Options], note: Callable[[str], None], mode_option: str = "--modes") -> Who:
        """The checkpoint here, or servers; they are found at once where only they can tell the model's name.

        InputError, at the latest from `open`, where no server reads in one of these ways. `note` is told of servers.
        """
        if not self.engine:
            from dsocr.ocr import load

            return Who(self.name, partial(load, self.name, self.device, self.dtype, batch=self.batch or _BATCH))
        check_engine(self.device, self.dtype)
        find = partial(self._find_servers, ways, note, mode_option)
        if self.model:
            return Who(self.model, find)
        reader = find()
        return Who(reader.model, lambda: reader)

    def counter(self) -> TokenCounter:
        """Counts text tokens as a checkpoint does, without its weights."""
        from dsocr.evaluation.trial import TokenCounter
        from dsocr.model.checkpoint import find_checkpoint
        from dsocr.model.tokenizer import Tokenizer

        name = self.tokenizer or self.name
        tokenizer = Tokenizer(find_checkpoint(name) / "tokenizer.json")
        return TokenCounter(f"the tokenizer of {name}", lambda text: len(tokenizer.encode(text, allow_special=False)))

    @property
    def name(self) -> str:
        """The checkpoint's here; what servers call theirs is no name here."""
        from dsocr.model.checkpoint import default_checkpoint

        return default_checkpoint() if self.engine or not self.model else self.model

    def _find_servers(self, ways: Sequence[Options], note: Callable[[str], None], mode_option: str) -> RemoteReader:
        from dsocr.remote import connect
        from dsocr.remote.reader import DEFAULT_BATCH

        batch = self.batch or DEFAULT_BATCH
        reader = connect(self.engine or (), self.model, key=self.engine_key, note=note, batch=batch)
        for way in ways:
            _check_servers(reader, way, mode_option)
        return reader


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
        Path | None, typer.Option(metavar="FILE", help="Prose to draw.", show_default="a few letters written for this")
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

        wanted, counts, pixels = _modes(modes), _numbers(lengths), _size(size)
        ways, counter = asked.options(wanted, prompt), asked.counter()
        sheets = curve.draw_sheets(_read_prose(text) if text else LETTERS, counter, counts, each, pixels, seed)
        with open_voice(quiet, stats=False, moves=True) as voice:
            who = asked.who(ways, voice.note)
            voice.note(f"{len(sheets)} pages, each in {len(wanted)} modes, with {who.name}")
            reader = who.open()
            pages = curve.read_sheets(reader, sheets, ways, _mover(voice))
            facts = *_facts(asked, who, ways), *_servers(reader)
            report = curve.report(pages, sheets, counter, facts, (fox_table(),), paper_curves())
            _give(report, output or _place("compression"), voice)
        return _exit_code(any(page.failed for page in pages))

    leave(work)


@app.command()
def throughput(
    files: _Files,
    output: _Output = None,
    seconds: Annotated[
        float, typer.Option(metavar="NUMBER", help="All files are read, again and again, for so long.")
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
            facts = (*_facts(asked, who, ways), *_servers(reader), *pace.describe(reader))
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
        paths = _paths(files)
        contestants = [contest.parse_contestant(each, limit) for each in contestant or ()]
        if alone and not contestants:
            raise InputError("--alone leaves nobody to read: give a --contestant")
        ways, facts = asked.options([mode], prompt), tuple["Fact", ...]()
        with open_voice(quiet, stats=False, moves=True) as voice:
            if not alone:
                who = asked.who(ways, voice.note, "--mode")
                reader = who.open()
                facts = *_facts(asked, who, ways), *_servers(reader)
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
    counter, wanted, failed = asked.counter(), _modes(modes), False
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
            facts = _facts(asked, who, ways)
            for reader in opened:
                facts += _servers(reader)
            failed = some_failed(trials)
        voice.note("scoring")
        _give(report(benchmark, trials, counter, facts), folder, voice)
        benchmark.write_more(trials, folder)
    return _exit_code(failed)


def _give(report: Report, folder: Path, voice: Voice) -> None:
    """The report on stdout and in a folder."""
    from dsocr.evaluation.report.writer import as_markdown, write_report

    voice.say(as_markdown(report))
    files = write_report(report, folder)
    voice.note(f"written to {folder}: {', '.join(file.name for file in files)}")


def _facts(asked: Asked, who: Who, ways: Sequence[Options]) -> tuple[Fact, ...]:
    from dsocr.evaluation.report.writer import Fact as Told

    modes = ", ".join(way.mode for way in ways)
    facts = [Told("model", who.name), Told("mode", modes), Told("prompt", ways[0].prompt), Told("loops", asked.loops)]
    return tuple(facts if asked.engine else [*facts, Told("dtype", asked.dtype)])


def _servers(reader: OCR | RemoteReader) -> tuple[Fact, ...]:
    """Where it was read, and what the servers there are; nothing of a checkpoint here."""
    from dsocr.evaluation.report.writer import Fact as Told
    from dsocr.remote import RemoteReader

    if not isinstance(reader, RemoteReader):
        return ()
    return (Told("servers", ", ".join(f"{server.address} ({server.name})" for server in reader.servers)),)


def _check_servers(reader: RemoteReader, way: Options, mode_option: str) -> None:
    """InputError where no server reads in this way, with the modes that can be asked for instead."""
    from dsocr.engine.request import Sampling
    from dsocr.errors import InputError
    from dsocr.pages.modes import MODES
    from dsocr.remote.dialects import check_all

    prompt, sampling = way.full_prompt(), way.sampling or Sampling()
    try:
        check_all(reader.servers, way.mode, prompt, sampling)
    except InputError as error:
        reasons = ((mode, server.lacks(mode, prompt, sampling)) for mode in MODES for server in reader.servers)
        known = next((mode for mode, reason in reasons if reason is None), None)
        remedy = f"; give {mode_option} {known}" if known else ""
        raise InputError(f"{error}{remedy}") from None


def _exit_code(failed: bool) -> int:
    """As for read, except that here only pages count that could not be read."""
    from dsocr.jobs.run import SOME_PAGES_NOT_OK

    return SOME_PAGES_NOT_OK if failed else 0


def _mover(voice: Voice) -> Callable[[str], None]:
    """For what changes with every page: the line that moves, or where there is no terminal one line each."""
    return voice.show_line or voice.note


def _place(name: str) -> Path:
    return Path("dsocr-eval", name)


def _modes(text: str) -> tuple[str, ...]:
    """Such as "tiny,small"; InputError for one that is unknown, or there twice."""
    from dsocr.errors import InputError
    from dsocr.pages import get_mode

    names = tuple(get_mode(name.strip()).name for name in text.split(","))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"mode {twice!r} is given twice; give each mode once")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    """Such as "50,100"; InputError for anything else."""
    from dsocr.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"lengths {text!r} is no list of numbers such as 50,100,200")
    return tuple(map(int, parts))


def _size(text: str) -> tuple[int, int]:
    """Such as "640x640"; InputError for anything else."""
    from dsocr.errors import InputError

    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and _SIDES[0] <= min(int(width), int(height))):
        raise InputError(f"size {text!r} is no size in pixels such as 640x640, at least {_SIDES[0]} a side")
    if max(int(width), int(height)) > _SIDES[1]:
        raise InputError(f"size {text!r} is too large; the most is {_SIDES[1]} pixels a side")
    return int(width), int(height)


def _read_prose(path: Path) -> str:
    """A plain text file; InputError where it cannot be read."""
    from dsocr.errors import FileAccessError, InputError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8; give a plain text file as --text") from None
    except OSError as error:
        raise FileAccessError(f"{path} cannot be read ({error.strerror})") from None


def _paths(files: Sequence[str]) -> list[Path]:
    """The files that are named, and those in folders; InputError where one is missing: commands need real files."""
    from dsocr.errors import InputError
    from dsocr.pages import find_inputs

    paths = [Path(str(source)) for source in find_inputs(files)]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise InputError(f"{missing}: no such file, or a folder without pages")
    return paths
