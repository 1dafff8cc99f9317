"""A server that really runs, in a thread of its own on 127.0.0.1, and what tests send to it."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from PIL import Image

from dsocr.ocr import OCR
from dsocr.server.run import address_of, listen, make_server, make_worker
from dsocr.server.settings import Settings
from dsocr.server.worker import Worker


@dataclass(frozen=True)
class Running:
    worker: Worker
    address: str
    stop: Callable[[], None]  # as Ctrl-C would


@contextmanager
def running(ocr: OCR, **chosen) -> Iterator[Running]:
    settings = Settings(**{"port": 0} | chosen)
    listening, worker = listen(settings), make_worker(ocr, settings)
    server = make_server(worker, settings)
    worker.start()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Running(worker, address_of(settings, listening), partial(setattr, server, "should_exit", True))
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        worker.close()
    assert not thread.is_alive()


@contextmanager
def working(ocr: OCR, **limits) -> Iterator[Worker]:
    worker = Worker(ocr, **limits)
    worker.start()
    try:
        yield worker
    finally:
        worker.close()


def wait_until(holds: Callable[[], object], seconds: float = 20, pause: float = 0.005) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(pause)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def data_url(image: Image.Image | bytes) -> str:
    content = image if isinstance(image, bytes) else encoded(image)
    return "data:image/png;base64," + base64.b64encode(content).decode()
