"""Starts a server, says where it is, and ends it when it is told to."""

from __future__ import annotations

import asyncio
import copy
import errno
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import python_multipart as python_multipart  # without it, forms are refused only when the first one comes
import uvicorn

from dsocr.errors import InputError
from dsocr.ocr import OCR
from dsocr.server.app import create_app
from dsocr.server.settings import Settings
from dsocr.server.worker import Worker

_STOPPING = 8  # seconds that answers under way have when the server is to end ...
_SAYING = 3  # ... and that they have then to say that they end early
_MOST_CONNECTIONS = 1000
_WAITING = 128  # connections that wait to be taken


def run(settings: Settings, load: Callable[[], OCR], note: Callable[[str], None]) -> None:
    """Serves until Ctrl-C or a polite kill; InputError for settings, an address or a checkpoint that cannot be."""
    settings.check()
    with closing(listen(settings)) as listening:  # before a checkpoint is loaded in vain
        worker = make_worker(load(), settings)
        worker.start()
        try:
            _warn(settings, note)
            note(f"serving {settings.model} at {address_of(settings, listening)}; Ctrl-C ends it")
            with suppress(KeyboardInterrupt):
                make_server(worker, settings).run(sockets=[listening])
        finally:
            worker.close()


def make_worker(ocr: OCR, settings: Settings) -> Worker:
    """A worker with the limits of the settings, not yet started."""
    return Worker(
        ocr,
        queue=settings.queue,
        max_pages=settings.max_pages,
        max_pixels=settings.max_pixels,
        seconds=settings.seconds,
    )


class _Server(uvicorn.Server):
    """One that lets answers end early in their own words before it ends."""

    def __init__(self, config: uvicorn.Config, worker: Worker) -> None:
        super().__init__(config)
        self._worker = worker

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it; answers that take too long are told so in time."""
        telling = asyncio.get_running_loop().call_later(_STOPPING, self._worker.stop)
        await super().shutdown(sockets)
        telling.cancel()


def make_server(worker: Worker, settings: Settings) -> uvicorn.Server:
    """What speaks HTTP; `run` and `serve` take the socket that listens."""
    config = uvicorn.Config(
        create_app(worker, settings),
        lifespan="off",
        server_header=False,
        log_config=_log_to_stderr(),
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_STOPPING + _SAYING,
    )
    return _Server(config, worker)


def _log_to_stderr() -> dict[str, Any]:
    """uvicorn's own way to log, requests as well on stderr: stdout may lead nowhere."""
    log = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    log["handlers"]["access"]["stream"] = log["handlers"]["default"]["stream"]
    return log


def listen(settings: Settings) -> socket.socket:
    """A socket at the address of the settings; InputError where there can be none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        refused = isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EADDRINUSE
        where, wrong = f"{settings.host} port {settings.port}", "--port" if refused else "--host"
        raise InputError(f"cannot listen at {where} ({why}); try another {wrong}") from None
    return listening


def address_of(settings: Settings, listening: socket.socket) -> str:
    """Where a browser finds the server."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"


def _warn(settings: Settings, note: Callable[[str], None]) -> None:
    if not settings.is_local and not settings.api_keys:
        note(f"warning: whoever reaches {settings.host} may read with it; --api-key asks for a key")
