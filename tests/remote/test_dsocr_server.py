"""A dsocr server reads for another dsocr as that would read itself, in every mode, loops noticed on this side."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from drawn_pages import inked

from dsocr import OCR, Options, Sampling, load
from dsocr.engine.loops import Loop, LoopWatch
from dsocr.remote import connect
from dsocr.version import __version__

pytest.importorskip("fastapi")


@pytest.fixture(scope="module")
def ocr(checkpoint) -> OCR:
    return load(checkpoint, dtype="float32")


@pytest.fixture(scope="module")
def address(ocr) -> Iterator[str]:
    from dsocr.server.run import address_of, listen, make_server, make_worker
    from dsocr.server.settings import Settings

    settings = Settings(model="micro", port=0, api_keys=("s3cret",))
    listening, worker = listen(settings), make_worker(ocr, settings)
    server = make_server(worker, settings)
    worker.start()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield address_of(settings, listening)
    server.should_exit = True
    thread.join(20)
    listening.close()
    worker.close()


@pytest.mark.parametrize("mode", ["tiny", "small"])
@pytest.mark.parametrize("rule", ["windowed", "none"])
def test_pages_read_there_as_they_are_read_here(ocr, address, mode, rule):
    options = Options(mode, sampling=Sampling(max_tokens=30, ngram_rule=rule, ngram_size=3), loops="keep")
    page = inked((300, 200))
    there = connect([address], key="s3cret").read(page, options).transcripts[0]
    (here,) = [reading.transcript() for reading in ocr.readings(page, options)]
    assert (there.raw, there.status, there.reason) == (here.raw, here.status, here.reason)
    assert there.confidence == pytest.approx(here.confidence, rel=1e-4)


def test_it_is_known_for_what_it_is(address):
    found = connect([address], key="s3cret")
    assert found.model == "micro"
    assert found.name == f"dsocr {__version__}"


def test_a_page_that_repeats_itself_is_gone_on_from_its_good_text_there_too(ocr, address, monkeypatch):
    text = ocr.ask("document", (inked((300, 200)),), "tiny", Sampling(max_tokens=200)).text
    page, options = inked((300, 200)), Options("tiny", sampling=Sampling(max_tokens=200, stop=(text[-9:],)))

    def first_one_is_taken_for_a_loop() -> None:
        watches = list[LoopWatch]()

        def feed(watch: LoopWatch, piece: str) -> Loop | None:
            if not any(watch is other for other in watches):
                watches.append(watch)
            return Loop(8, "x", "line", 30) if watch is watches[0] else None

        monkeypatch.setattr(LoopWatch, "feed", feed)

    first_one_is_taken_for_a_loop()
    (here,) = [reading.transcript() for reading in ocr.readings(page, options)]
    first_one_is_taken_for_a_loop()
    there = connect([address], key="s3cret").read(page, options).transcripts[0]
    assert here.attempts == 2
    assert (there.raw, there.status, there.reason, there.attempts) == (here.raw, here.status, here.reason, 2)
