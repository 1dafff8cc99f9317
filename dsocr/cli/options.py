"""Options that several commands share, each said once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dsocr.errors import InputError


class Loops(str, Enum):
    """What becomes of a page that repeats itself."""

    rescue = "rescue"
    stop = "stop"
    keep = "keep"


Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="nano, a folder, or a hub name.",
        show_default="the published one if it is here, else nano",
    ),
]
Mode = Annotated[str, typer.Option(metavar="NAME", help="tiny, small, base, large, gundam, gundam-m.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, mps.")]
Dtype = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, float32, bfloat16, float16; int8, int4: the decoder in few bits."),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="For the text being read, such as 4G or 500M.",
        show_default="half of what is free",
    ),
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="NUMBER", help="Most new tokens a page.", show_default="as many as fit")
]
OnLoop = Annotated[
    Loops,
    typer.Option(metavar="NAME", help="A page that repeats itself: rescue (read it again), stop it, or keep it."),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Also say what the pages are read with.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only on stderr.")]
Engine = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Have running servers read: vLLM, SGLang or dsocr, such as http://host:8000/v1; several with commas.",
        show_default="the model is loaded here",
    ),
]
EngineKey = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", envvar="DSOCR_ENGINE_KEY", help="The key that they ask for.", show_default="none is sent"
    ),
]


def named(path: str) -> Path:
    """A path; a usage error for an empty one, as of a variable that is not set: nothing is strewn about."""
    if not path:
        raise typer.BadParameter("the name is empty")
    return Path(path)


def check_engine(*own: str | None) -> None:
    """InputError where something is asked for that is the servers' own: device, dtype or memory."""
    if any(each not in ("auto", None) for each in own):
        raise InputError("with --engine, --device, --dtype and --memory are the server's own: leave them out")
