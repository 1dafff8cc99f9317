"""Many documents in one stream of pages: full batches across files, whole answers in order, and no page lost."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path

import pytest
from drawn_pages import inked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ImageDraw

from dsocr import InputError, Options, Sampling, load
from dsocr.document import Document, Transcript
from dsocr.jobs.manifest import Facts, Manifest, Outcome
from dsocr.jobs.run import Run
from dsocr.ocr import OCR
from dsocr.pages.inputs import Input
from dsocr.reading import Known, Reading, SourceEnd

FEW = Options("tiny", sampling=Sampling(max_tokens=6))
FACTS = Facts("micro", "tiny", "document", "cpu", "auto", "0")


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load(checkpoint)


@pytest.fixture
def ocr(loaded) -> OCR:
    return OCR(loaded.network, loaded.tokenizer, batch=3)


def tiff(count: int, first: int = 0) -> bytes:
    """Pages that are told apart by a line at another height."""
    frames = [inked() for _ in range(count)]
    for number, frame in enumerate(frames, start=first):
        ImageDraw.Draw(frame).line((0, number, 80, number), fill="black", width=4)
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


class Notebook:
    """A shelf that writes down what it is asked, and keeps nothing but what it is given at the start."""

    def __init__(self, **known: Known) -> None:
        self.known, self.kept = known, list[str]()

    def key(self, page) -> str:
        return f"page{page.number}"

    def find(self, key: str) -> Known | None:
        return self.known.get(key)

    def keep(self, reading: Reading) -> None:
        self.kept.append(reading.key)


class Heap:
    """An output that keeps whole documents, and fails where it is told to."""

    def __init__(self, *unwritable: str) -> None:
        self.documents: list[Document] = []
        self.unwritable = unwritable

    def choose_name(self, name: str, source=None) -> str:
        return name

    def is_written(self, name: str) -> bool:
        return False

    def begin_document(self, source: str, name: str | None = None) -> None:
        assert name

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        pass

    def add(self, text: str) -> None:
        pass

    def begin_again(self) -> None:
        pass

    def end_page(self, transcript: Transcript) -> None:
        pass

    def end_document(self, document: Document) -> None:
        if document.source in self.unwritable:
            raise InputError("disk full")
        self.documents.append(document)


class TestStream:
    def test_pages_of_several_documents_are_written_at_once(self, ocr):
        steps = ocr.readings_of([tiff(1), tiff(1, 20), tiff(1, 40)], Options("tiny", sampling=Sampling(max_tokens=400)))
        most = 0
        for _ in next(steps):
            most = max(most, len(ocr.engine.scheduler.running))
        assert most == 3

    def test_each_source_is_read_as_if_it_were_alone_and_followed_by_its_end(self, loaded, ocr):
        sources = [tiff(2), tiff(1, 20), tiff(3, 30), tiff(1, 50)]
        expected = [list(ocr.read(source, "tiny", sampling=FEW.sampling).transcripts) for source in sources]
        found, own = [], []
        for step in ocr.readings_of(sources, FEW):
            if isinstance(step, SourceEnd):
                assert (step.source, step.error) == (sources[len(found)], None)
                found.append(own)
                own = []
            else:
                own.append(step.transcript())
        assert found == expected

    def test_what_is_wrong_with_a_source_stands_in_its_end(self, ocr, make_pdf):
        locked = make_pdf(["x"], password="x")
        steps = list(ocr.readings_of([tiff(1), b"", tiff(1, 20), locked, "missing.png", tiff(1, 40)], FEW))
        ends = [step.error for step in steps if isinstance(step, SourceEnd)]
        assert [str(error).partition(":")[0] if error else None for error in ends] == [
            *(None, "bytes", None, "bytes", "missing.png", None)
        ]
        assert [error.exit_code for error in ends if error] == [2, 8, 2]
        assert len(steps) - len(ends) == 3

    def test_a_page_that_ends_before_it_is_asked_for_is_kept_at_once_and_loses_nothing(self, ocr):
        notebook = Notebook()
        steps = ocr.readings_of([tiff(3)], FEW, notebook)
        first = next(steps)
        end = time.monotonic() + 20
        while len(notebook.kept) < 2 and time.monotonic() < end:
            ocr.engine.step()
            first.between()
        assert notebook.kept == ["page2", "page3"]
        list(first)
        assert notebook.kept == ["page2", "page3", "page1"]
        later = [step.transcript() for step in steps if isinstance(step, Reading)]
        assert [first.transcript(), *later] == list(ocr.read(tiff(3), "tiny", sampling=FEW.sampling).transcripts)

    def test_a_known_page_is_not_read_and_not_kept_again(self, ocr, monkeypatch):
        known = Known("# Known\n", "looped", "went round", tokens=7, attempts=2)
        steps = ocr.readings_of([tiff(3)], FEW, notebook := Notebook(page2=known))
        readings = [step for step in steps if isinstance(step, Reading)]
        pages = [reading.transcript() for reading in readings]
        assert [reading.known for reading in readings] == [False, True, False]
        page = pages[1]
        assert (page.page, page.raw, page.status, page.reason, page.attempts) == (
            2,
            known.raw,
            "looped",
            "went round",
            2,
        )
        assert (page.width, page.height, readings[1].tokens) == (80, 60, 7)
        assert notebook.kept == ["page1", "page3"]

    def test_a_run_of_known_pages_asks_the_network_for_nothing(self, ocr, monkeypatch):
        monkeypatch.setattr(OCR, "engine", None)
        known = {f"page{number}": Known("x", "ok", None, 1) for number in range(1, 40)}
        steps = ocr.readings_of([tiff(39)], FEW, Notebook(**known))
        assert sum(isinstance(step, Reading) for step in steps) == 39


class TestRun:
    def run(self, ocr: OCR, output, *sources, shelf=None) -> tuple[Run, list[str]]:
        notes: list[str] = []
        run = Run(ocr, output, FEW, FACTS, notes.append, shelf=shelf)
        run.read([Input(source, str(source)) for source in sources])
        return run, notes

    # The fixtures hold nothing that one example could leave to the next.
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from(["one", "three", "broken", "missing", "rubbish"]), max_size=6))
    def test_whatever_comes_every_page_has_one_status_and_its_number(self, ocr, make_pdf, tmp_path, kinds):
        contents = {
            "one": tiff(1),
            "three": tiff(3),
            "broken": make_pdf(["a", None, "b"]),
            "rubbish": b"no picture" * 9,
        }
        for kind, content in contents.items():
            (tmp_path / kind).write_bytes(content)
        heap = Heap()
        run, _ = self.run(ocr, heap, *(tmp_path / kind for kind in kinds))
        expected = {"one": [1], "three": [1, 2, 3], "broken": [1, 2, 3]}
        readable = [kind for kind in kinds if kind in expected]
        assert [Path(document.source).name for document in heap.documents] == readable
        assert [[page.page for page in document.transcripts] for document in heap.documents] == [
            expected[kind] for kind in readable
        ]
        for document in heap.documents:
            statuses = [page.status == "failed" for page in document.transcripts]
            assert statuses == [False, True, False] if document.source.endswith("broken") else not any(statuses)
            assert [page.attempts for page in document.transcripts] == [1 - failed for failed in statuses]
        assert run.summary.inputs["failed"] == len(kinds) - len(readable)
        assert run.summary.total == len(kinds) - len(readable) + sum(len(expected[kind]) for kind in readable)

    def test_a_document_that_breaks_off_has_its_other_pages_told_as_failed(self, ocr, tmp_path, monkeypatch):
        (tmp_path / "a.tif").write_bytes(tiff(4))

        def break_off(*_, **__):
            yield from list(open_pages(tmp_path / "a.tif"))[:2]
            raise InputError("the disk is gone")

        from dsocr.pages import open_pages

        monkeypatch.setattr("dsocr.ocr.open_pages", break_off)
        run, notes = self.run(ocr, heap := Heap(), tmp_path / "a.tif")
        pages = heap.documents[0].transcripts
        assert [(page.page, page.reason if page.status == "failed" else None) for page in pages] == [
            *((1, None), (2, None), (3, "the disk is gone"), (4, "the disk is gone"))
        ]
        assert run.exit_code == 2
        assert "error: the disk is gone" in notes

    def test_a_document_that_cannot_be_written_does_not_cost_the_next(self, ocr, tmp_path):
        for name in ("a.tif", "b.tif"):
            (tmp_path / name).write_bytes(tiff(1))
        run, _ = self.run(ocr, heap := Heap(str(tmp_path / "a.tif")), tmp_path / "a.tif", tmp_path / "b.tif")
        assert [Path(document.source).name for document in heap.documents] == ["b.tif"]
        assert run.exit_code == 2
        assert run.summary.inputs["unwritten"] == 1

    def test_an_address_is_named_without_what_may_be_a_secret(self, ocr):
        run = Run(ocr, Heap(), FEW, FACTS, print)
        address = "https://host.example/page.pdf?key=secret"
        assert run._draft(Input(address, "page.pdf")).source == "https://host.example/page.pdf"

    def test_pages_are_timed_by_the_whole_run_and_known_ones_do_not_count(self, ocr, tmp_path):
        (tmp_path / "a.tif").write_bytes(tiff(3))
        known = Known("x", "ok", None, 1)
        run, _ = self.run(ocr, Heap(), tmp_path / "a.tif", shelf=Notebook(page2=known))
        assert run.pace.pages == 2
        assert run.pace.seconds == run.seconds > 0
        run, _ = self.run(ocr, Heap(), tmp_path / "a.tif", shelf=Notebook(page1=known, page2=known, page3=known))
        assert run.pace is None
        run.summary.add(Outcome("a.tif", 4, "skipped"))
        assert run.pace is None

    @pytest.mark.skipif(os.name != "posix", reason="signals")
    @pytest.mark.parametrize("written", [True, False], ids=["after its line", "before its line"])
    def test_ctrl_c_while_a_page_is_told_of_leaves_it_told_of_once(self, ocr, tmp_path, monkeypatch, written):
        (tmp_path / "a.tif").write_bytes(tiff(4))
        heap, manifest, write = Heap(), Manifest(tmp_path / "manifest.jsonl"), Manifest.write

        def interrupted(self, outcome, facts):
            if written:
                write(self, outcome, facts)
            if outcome.page == 2 and outcome.status != "skipped":
                signal.raise_signal(signal.SIGINT)
            if not written:
                write(self, outcome, facts)

        monkeypatch.setattr(Manifest, "write", interrupted)
        run = Run(ocr, heap, FEW, FACTS, lambda _: None, manifest=manifest)
        with pytest.raises(KeyboardInterrupt):
            run.read([Input(tmp_path / "a.tif", "a.tif")])
        told = [json.loads(line) for line in manifest.path.read_text().splitlines()]
        assert [line["page"] for line in told] == [1, 2, 3, 4]
        assert [line["status"] == "skipped" for line in told] == [False, False, True, True]
        pages = heap.documents[0].transcripts
        assert [(page.page, page.attempts) for page in pages] == [(1, 1), (2, 1), (3, 0), (4, 0)]
        assert [line["attempts"] for line in told] == [1, 1, 0, 0]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
