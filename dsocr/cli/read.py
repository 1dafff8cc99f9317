"""`dsocr read`: documents to Markdown, text, JSON or drawings, on stdout or in a folder."""

from __future__ import annotations

import os
import sys
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsocr.cli.console import leave, open_voice, tell_more
from dsocr.cli.options import (
    Device,
    Dtype,
    Engine,
    EngineKey,
    Loops,
    MaxTokens,
    Memory,
    Mode,
    Model,
    OnLoop,
    Quiet,
    Verbose,
    check_engine,
    named,
)
from dsocr.errors import InputError

if TYPE_CHECKING:
    from dsocr.pages import Child

_FORMATS = "md, json, html, txt, hocr, alto, docling, docx, csv, svg, pdf, picture, layout, official"


class NgramRule(str, Enum):
    """Which repeated n-grams may not be written again."""

    windowed = "windowed"
    huggingface = "huggingface"
    none = "none"


class OnUnsure(str, Enum):
    """What becomes of a page that the model was unsure of."""

    reread = "reread"
    keep = "keep"


class Rotate(str, Enum):
    """How pages are turned, in degrees clockwise."""

    off = "off"
    auto = "auto"
    right = "90"
    over = "180"
    left = "270"


def read(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="PDF, PNG, JPEG, WebP, TIFF, BMP, GIF, HEIC; folders, zip and tar archives of them, patterns such as "
            '"**/*.pdf", http(s) addresses; - for stdin.',
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", parser=named, help="Folder for the answers.", show_default="stdout"
        ),
    ] = None,
    format: Annotated[str, typer.Option(metavar="NAMES", help=f"One or more of {_FORMATS}.")] = "md",
    model: Model = None,
    mode: Mode = "gundam",
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
    max_tokens: MaxTokens = None,
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
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Most pages read at once; by each server or replica, where there are several.",
            show_default="8; 16 with --engine",
        ),
    ] = None,
    memory: Memory = None,
    engine: Engine = None,
    engine_key: EngineKey = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Have a Ray cluster read: local (on this machine), auto (the one that runs here), or HOST:PORT.",
            show_default="no cluster",
        ),
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders in folders are read as well.")] = False,
    tables: Annotated[str, typer.Option(metavar="NAME", help="In Markdown: html, or gfm (with bars).")] = "html",
    maths: Annotated[str, typer.Option(metavar="NAME", help="In Markdown: latex, or dollar ($…$).")] = "latex",
    page_marks: Annotated[
        bool, typer.Option("--page-marks/--no-page-marks", help="A line between pages in Markdown.")
    ] = True,
    no_headers: Annotated[
        bool, typer.Option("--no-headers", help="Leave out headers, footers and page numbers.")
    ] = False,
    join: Annotated[bool, typer.Option("--join", help="Join paragraphs and tables that a page break cuts.")] = False,
    existing_text: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="In searchable PDFs, pages that hold text: skip them, replace invisible text, or add."
        ),
    ] = "skip",
    loops: OnLoop = Loops.rescue,
    unsure: Annotated[
        OnUnsure,
        typer.Option(metavar="NAME", help="A page that the model was unsure of: reread it in other ways, or keep it."),
    ] = OnUnsure.reread,
    rotate: Annotated[
        Rotate,
        typer.Option(metavar="NAME", help="Turn pages clockwise: 90, 180, 270, or auto where a page looks turned."),
    ] = Rotate.off,
    keep_blank: Annotated[bool, typer.Option("--keep-blank", help="Blank pages are read like others.")] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=named,
            help="Where a line of JSON for each page goes: how it ended, and why.",
            show_default="manifest.jsonl in the folder of -o",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=named,
            help="Where read pages are kept, so that no page is read twice in the same way.",
            show_default="with -o: $DSOCR_CACHE, or this system's place for caches",
        ),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no pages and look none up.")] = False,
    cache_size: Annotated[
        str, typer.Option(metavar="SIZE", help="The pages that nobody asked for longest go when there are more.")
    ] = "2G",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out documents whose answers are in the folder of -o.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell the files, their pages, and how long they may take.")
    ] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="A line of figures for each page on stderr: tokens, seconds.")
    ] = False,
    apart: Annotated[
        bool,
        typer.Option(
            "--apart/--no-apart",
            help="Open files in a process of their own, so that a harmful one costs its pages and not the run.",
        ),
    ] = True,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Read documents to Markdown, text, JSON or drawings.

    Markdown goes to stdout, on a terminal while it is written; with -o, all that is asked for goes into a folder. A
    run that was killed goes on where it stood when it is started again.

    Exit codes: 0 every page is ok or blank, 10 some are not (the manifest says why), 2 a mistake in what was asked or
    given, 5 a file or folder that may not be read or written, 8 a password is missing or wrong, 130 interrupted, 141
    whoever read stdout has gone.
    """

    def work() -> int:
        from dsocr.pages import Child
        from dsocr.pages.apart import memory_for

        if verbose:
            tell_more()
        if not apart:
            return read_it(False)
        with Child(memory=memory_for(max_pixels)) as child:
            child.start()  # Before all else is imported: it gets ready meanwhile.
            return read_it(child)

    def read_it(child: bool | Child) -> int:
        from dsocr.document.to_markdown import FURNITURE, MarkdownStyle
        from dsocr.engine.kv_cache import parse_bytes
        from dsocr.engine.request import Sampling
        from dsocr.jobs.cluster import Cluster
        from dsocr.jobs.forms import Wishes
        from dsocr.jobs.job import Job, plan, run
        from dsocr.jobs.outputs import parse_formats
        from dsocr.model.checkpoint import NANO, PUBLISHED, default_checkpoint
        from dsocr.ocr import Options, load
        from dsocr.pages.inputs import LeftOut, walk_inputs
        from dsocr.remote import connect
        from dsocr.remote.reader import DEFAULT_BATCH as SERVER_BATCH

        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            ngram_rule=ngram_rule.value,
            ngram_size=ngram_size,
            ngram_window=ngram_window,
        )
        options = Options(
            mode,
            prompt,
            pages,
            dpi,
            password,
            max_pixels,
            sampling,
            loops=loops.value,
            unsure=unsure.value,
            skip_blank=not keep_blank,
            rotate="auto" if rotate == Rotate.auto else 0 if rotate == Rotate.off else int(rotate.value),
            apart=child,
        )
        options.check()
        style = MarkdownStyle(tables, maths, page_marks, FURNITURE if no_headers else frozenset())
        if quiet and verbose:
            raise InputError("--quiet and --verbose: fewer words, or more, not both")
        if cache and no_cache:
            raise InputError("--cache and --no-cache: pages are kept, or not, not both")
        if engine and ray:
            raise InputError("--engine and --ray: servers read, or a cluster, not both")
        if engine:
            check_engine(device, dtype, memory)
        name, left_out = model or ("" if engine else default_checkpoint()), LeftOut()
        job = Job(
            inputs=tuple(walk_inputs(files, recursive=recursive, left_out=left_out)),
            left_out=left_out,
            options=options,
            model=name,
            device=device,
            dtype=dtype,
            folder=output,
            formats=parse_formats(format),
            wishes=Wishes(style, join, existing_text, password),
            manifest=manifest,
            cache=None if no_cache else cache or (_cache_folder() if output or dry_run else None),
            cache_limit=parse_bytes(cache_size, "--cache-size"),
            skip_existing=skip_existing,
            elsewhere=bool(engine or ray),
        )
        job.check()
        with open_voice(quiet, stats, moves=output is not None) as voice:
            if dry_run:
                return plan(job, voice)
            if engine:
                there = partial(connect, engine, model, key=engine_key, batch=batch or SERVER_BATCH, note=voice.note)
                return run(job, there, voice)
            if model is None:
                voice.note(f"reading with {name}" + (f"; for {PUBLISHED} run: dsocr pull" if name == NANO else ""))
            if ray:
                cluster = partial(Cluster, ray, name, device, dtype, batch=batch, memory=memory, note=voice.note)
                return run(job, cluster, voice)
            return run(job, partial(load, name, device, dtype, batch=batch, memory=memory, lazily=True), voice)

    leave(work)


def _cache_folder() -> Path:
    """Where this system's programs keep what can be made again."""
    asked = os.environ.get("DSOCR_CACHE")
    if asked:
        return Path(asked).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dsocr" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dsocr"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsocr"
