"""`dsocr serve`: an HTTP server that reads pages for OpenAI's clients and others, with a page for browsers."""

from __future__ import annotations

import os
import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dsocr.cli.console import leave, note, to_stdout
from dsocr.cli.options import Device, Dtype, Memory, Model
from dsocr.errors import InputError

# Packages of the optional extra, by the names of their modules.
_EXTRA = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
}

VLLM_NEWER = (
    "where vLLM's newer model runner refuses this processor at its start, put VLLM_USE_V2_MODEL_RUNNER=0 before the "
    "command, or leave --logits-processors out: dsocr notices loops all the same"
)


def serve(
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Annotated[int, typer.Option(metavar="NUMBER", help="Most pages and chats written at once.")] = 8,
    memory: Memory = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="0.0.0.0 lets other machines in; give a key then.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="NUMBER", help="Where it listens.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="TEXT",
            envvar="DSOCR_API_KEY",
            help="Asked of every client; may be given more than once, in the variable with spaces between.",
            show_default="none is asked for",
        ),
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch what clients name by http(s), from the public internet only.")
    ] = False,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            "--cors", metavar="ORIGIN", help="Web pages that may ask, such as https://example.org.", show_default="none"
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(metavar="NUMBER", help="Requests that may wait; more are told to come back.")
    ] = 64,
    max_body: Annotated[str, typer.Option(metavar="SIZE", help="Of one request.")] = "100M",
    max_pages: Annotated[int, typer.Option(metavar="NUMBER", help="Of one document.")] = 1000,
    max_pixels: Annotated[
        int, typer.Option(metavar="NUMBER", help="Larger pages are refused (decompression bombs).")
    ] = 178_956_970,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For one whole answer.")] = 3600.0,
    print_vllm: Annotated[
        bool, typer.Option("--print-vllm", help="Only print how vLLM would serve this checkpoint.")
    ] = False,
) -> None:
    """Serve a reader over HTTP: OpenAI's chat completions and other dialects, and a page for browsers at /.

    http://127.0.0.1:8000/v1 is the address for OpenAI's clients. Ctrl-C ends it.
    """

    def work() -> int:
        if print_vllm:
            to_stdout(f"{vllm_command(model, host, port)}\n")
            note(VLLM_NEWER)
            return 0
        if not api_key and "DSOCR_API_KEY" in os.environ:
            raise InputError("DSOCR_API_KEY is empty; unset it where no key is to be asked for")
        try:
            from dsocr.server.run import run
            from dsocr.server.settings import Settings
        except ModuleNotFoundError as error:
            if error.name not in _EXTRA:
                raise
            raise InputError(f"serving needs {_EXTRA[error.name]}: pip install 'dsocr[serve]'") from None
        from dsocr.engine.kv_cache import parse_bytes
        from dsocr.model.checkpoint import default_checkpoint
        from dsocr.ocr import load

        name = model or default_checkpoint()
        settings = Settings(
            model=Path(name).expanduser().resolve().name if os.path.isdir(os.path.expanduser(name)) else name,
            host=host,
            port=port,
            api_keys=tuple(api_key or ()),
            allow_urls=allow_urls,
            cors=tuple(cors or ()),
            queue=queue,
            max_body=parse_bytes(max_body, "--max-body"),
            max_pages=max_pages,
            max_pixels=max_pixels,
            seconds=timeout,
        )
        run(settings, partial(load, name, device, dtype, batch=batch, memory=memory), note)
        return 0

    leave(work)


def vllm_command(model: str | None, host: str, port: int) -> str:
    """How vLLM serves a checkpoint of this kind, with the processor that lets requests ban repeated n-grams."""
    from dsocr.model.checkpoint import NANO, default_checkpoint, find_checkpoint

    name = model or default_checkpoint()
    words = [
        *("vllm", "serve", str(find_checkpoint(name)) if name == NANO else name),
        *("--logits-processors", "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor"),
        *("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0"),
        *("--host", host, "--port", str(port)),
    ]
    return shlex.join(words)
