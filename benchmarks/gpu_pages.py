"""From a PDF to tokens on a GPU: `python -m benchmarks.gpu_pages [--pages 500] [--tokens 500] [--batch 128]`.

A PDF of prose is written, drawn in worker processes, encoded and read by a network of the released size whose random
weights never end a text: each page gets so many tokens. Told for each mode: pages and tokens per second, how busy the
card was, and what the host's parts took. What the front door does by itself, with its one thread that opens pages, is
told beside it. `--device cpu --tiny` rehearses it all on a micro network.
"""

from __future__ import annotations

import argparse
import cProfile
import mmap
import multiprocessing
import os
import pstats
import queue
import subprocess
import tempfile
import textwrap
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from dsocr.engine.engine import Engine, Stream
from dsocr.engine.request import Request, Sampling
from dsocr.model.config import parse_config, read_config
from dsocr.model.network import Network
from dsocr.model.released import RELEASED, RELEASED_IMAGE_ID
from dsocr.model.speed import speed_up
from dsocr.model.tokenizer import Tokenizer
from dsocr.model.weights import load_network
from dsocr.ocr import OCR, Options
from dsocr.pages import DEFAULT_DPI, DEFAULT_MAX_PIXELS, Mode, Page, get_mode
from dsocr.pages.pdf import PdfFile
from dsocr.pages.tiling import make_views
from dsocr.views import Views

HERE = Path(__file__).parent
MICRO = HERE.parent / "tests" / "golden" / "micro"
NANO = HERE.parent / "dsocr" / "nano"
A4 = (595, 842)  # points
WORDS = [4, 5, 6, 7, 8]  # the prompt after the page


def write_pdf(path: Path, pages: int) -> None:
    """A4, some 60 lines of prose on each page."""
    prose = (HERE / "prose.txt").read_text(encoding="utf-8").encode("ascii", "ignore").decode()
    lines = textwrap.wrap(prose.replace("(", "").replace(")", "").replace("\\", ""), 95)
    with open(path, "wb") as file:
        offsets: dict[int, int] = {}

        def put(number: int, content: bytes) -> None:
            offsets[number] = file.tell()
            file.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))

        file.write(b"%PDF-1.4\n")
        kids = b" ".join(b"%d 0 R" % (4 + 2 * place) for place in range(pages))
        put(1, b"<</Type/Catalog/Pages 2 0 R>>")
        put(2, b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages))
        put(3, b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
        for place in range(pages):
            own = [lines[(61 * place + index) % len(lines)] for index in range(60)]
            text = f"BT /F 10 Tf 12 TL 60 780 Td (Page {place + 1}) '" + "".join(f" ({line}) '" for line in own) + " ET"
            head = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Resources<</Font<</F 3 0 R>>>>" % A4
            put(4 + 2 * place, head + b"/Contents %d 0 R>>" % (5 + 2 * place))
            put(5 + 2 * place, b"<</Length %d>>stream\n%s\nendstream" % (len(text), text.encode()))
        table = file.tell()
        rows = b"".join(b"%d 1\n%010d 00000 n \n" % row for row in sorted(offsets.items()))
        file.write(b"xref\n0 1\n0000000000 65535 f \n%s" % rows)
        file.write(b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (max(offsets) + 1, table))


@dataclass(frozen=True)
class Drawn:
    """A page whose views lie in a slot of the memory shared with the workers; what drawing and cutting it took."""

    slot: int
    rows: int
    columns: int
    drawing: float
    cutting: float


class Slots:
    """Views of so many pages in memory that worker processes share; made before they are forked."""

    def __init__(self, count: int, mode: Mode) -> None:
        self._overview, self._tile = 3 * mode.overview_px**2, 3 * mode.tile_px**2
        self._mode, self._size = mode, self._overview + mode.max_tiles * self._tile
        self.count = count
        self._memory = mmap.mmap(-1, 2 * self._size * count)
        self._places = torch.frombuffer(self._memory, dtype=torch.bfloat16).reshape(count, self._size)

    def put(self, slot: int, views: Views) -> None:
        used = self._overview + views.tiles.numel()
        self._places[slot, : self._overview] = views.overview.flatten()
        self._places[slot, self._overview : used] = views.tiles.flatten()

    def take(self, drawn: Drawn) -> Views:
        side, tile = self._mode.overview_px, self._mode.tile_px
        tiles = drawn.rows * drawn.columns
        own = self._places[drawn.slot]
        overview = own[: self._overview].reshape(3, side, side)
        cut = own[self._overview : self._overview + tiles * self._tile].reshape(tiles, 3, tile, tile)
        return Views(overview, cut, drawn.rows, drawn.columns)


class Worker:
    """What a worker process knows: inherited when it is forked, the PDF opened once."""

    slots: Slots
    mode: Mode
    path: Path
    pdf: PdfFile

    @classmethod
    def begin(cls) -> None:
        torch.set_num_threads(1)
        file = open(cls.path, "rb")  # noqa: SIM115 - as long as the worker lives
        cls.pdf = PdfFile(file, "it", password=None, dpi=DEFAULT_DPI, max_pixels=DEFAULT_MAX_PIXELS)

    @classmethod
    def draw(cls, number: int, slot: int) -> Drawn:
        began = time.perf_counter()
        page: Page = cls.pdf.read(number)
        drawn = time.perf_counter()
        views = make_views(page.image, cls.mode)
        cls.slots.put(slot, views)
        return Drawn(slot, views.rows, views.columns, drawn - began, time.perf_counter() - drawn)


def begin_worker() -> None:
    Worker.begin()


def draw(number: int, slot: int) -> Drawn:
    return Worker.draw(number, slot)


@dataclass
class Tally:
    pages: int = 0
    tokens: int = 0
    steps: int = 0
    stepping: float = 0.0
    submitting: float = 0.0
    idle: float = 0.0
    drawing: float = 0.0
    cutting: float = 0.0
    encoding: float = 0.0
    first: list[float] = field(default_factory=list)


class Run:
    """One mode: pages go from the workers to the engine and out of it again, until all are read or the time is up."""

    def __init__(self, engine: Engine, pool: multiprocessing.pool.Pool, slots: Slots, image: int) -> None:
        self.engine, self.pool, self.slots, self.image = engine, pool, slots, image
        self.free = deque(range(slots.count))
        self.ready: queue.SimpleQueue[Drawn | BaseException] = queue.SimpleQueue()

    def read(self, pages: int, tokens: int, limit: float) -> tuple[Tally, float]:
        tally, streams = Tally(), dict[int, tuple[Stream, float]]()
        asked = drawn = 0
        began = time.perf_counter()
        while tally.pages < pages and time.perf_counter() - began < limit:
            while self.free and asked < pages:
                asked += 1
                where = (1 + asked % 400, self.free.popleft())
                self.pool.apply_async(draw, where, callback=self.ready.put, error_callback=self.ready.put)
            start = time.perf_counter()
            while not self.ready.empty():
                drawn += 1
                found = self.ready.get()
                if isinstance(found, BaseException):
                    raise found
                tally.drawing += found.drawing
                tally.cutting += found.cutting
                streams[found.slot] = self._submit(found, tokens), time.perf_counter()
            middle = time.perf_counter()
            tally.submitting += middle - start
            if self.engine.step():
                tally.steps += 1
                tally.stepping += time.perf_counter() - middle
            else:
                time.sleep(0.001)
                tally.idle += time.perf_counter() - middle
            for slot in [slot for slot, (stream, _) in streams.items() if stream.over]:
                stream, since = streams.pop(slot)
                tally.pages += 1
                tally.tokens += sum(len(delta.ids) for delta in stream.take())
                tally.encoding += stream.stats.encode_seconds
                tally.first.append(time.perf_counter() - since)
                self.free.append(slot)
        seconds = time.perf_counter() - began
        for slot, (stream, _) in streams.items():  # the time was up
            tally.tokens += sum(len(delta.ids) for delta in stream.take())
            stream.cancel()
            self.free.append(slot)
        while self.engine.step():
            pass
        for _ in range(asked - drawn):
            left = self.ready.get()
            if isinstance(left, Drawn):
                self.free.append(left.slot)
        return tally, seconds

    def _submit(self, drawn: Drawn, tokens: int) -> Stream:
        views = self.slots.take(drawn)
        ids = (0, *[self.image] * len(views.layout), *WORDS)
        return self.engine.stream(Request(ids, (views,), Sampling(max_tokens=tokens)))


def make_network(device: torch.device) -> Network:
    """The released size in bfloat16, drawn where it is to stay."""
    with torch.device("meta"):
        network = Network(parse_config(RELEASED), image_token_id=RELEASED_IMAGE_ID)
    for part in network.modules():
        for name, meta in list(part.named_parameters(recurse=False)):
            tensor = torch.empty(meta.shape, dtype=torch.bfloat16, device=device)
            tensor = tensor.fill_(1.0) if meta.ndim == 1 and name == "weight" else tensor.normal_(0, 0.02)
            setattr(part, name, nn.Parameter(tensor, requires_grad=False))
    return network.eval().requires_grad_(False)


@contextmanager
def watched(gpu: bool) -> Iterator[list[float]]:
    """How busy the card is, in percent, five times a second; filled in at the end."""
    busy: list[float] = []
    with tempfile.TemporaryFile("w+") as file:
        command = [
            "nvidia-smi",
            "--query-gpu=utilization.gpu,memory.used",
            "--format=csv,noheader,nounits",
            "-lms",
            "200",
        ]
        try:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL) if gpu else None
        except OSError:
            process = None
        try:
            yield busy
        finally:
            if process:
                process.terminate()
                process.wait()
                file.seek(0)
                busy += [float(line.split(",")[0]) for line in file.read().splitlines() if line.split(",")[0].isdigit()]


def say(*words: str) -> None:
    print(*words, flush=True)


def measure(name: str, network: Network, tokenizer: Tokenizer, run: argparse.Namespace, made: Pool) -> None:
    """One mode's rates."""
    device = network.device
    room = len(full_layout(name)) + len(WORDS) + run.tokens + 64
    engine = Engine(network, tokenizer, batch=run.batch, context_limit=room, prefill_chunk=run.chunk)
    going = Run(engine, made.pool, made.slots, network.image_token_id)
    began = time.perf_counter()
    warm, _ = going.read(min(run.batch + 8, run.pages), 8, run.limit)
    ready = time.perf_counter() - began
    say(f"\n## {name}: {engine.pool.blocks} blocks, warm after {ready:.1f} s and {warm.pages} pages\n")
    profiler = cProfile.Profile() if run.profile else None
    with watched(device.type == "cuda") as busy:
        if profiler:
            profiler.enable()
        tally, seconds = going.read(run.pages, run.tokens, run.limit)
        if profiler:
            profiler.disable()
    engine.close()
    done = tally.tokens / run.tokens
    say(f"{tally.pages} pages to their end, {tally.tokens} tokens in {seconds:.1f} s, {run.batch} at once")
    say(f"| {name} | pages/s | tokens/s | pages a day | busy | step ms |\n|---|---|---|---|---|---|")
    share = f"{sum(busy) / len(busy):.0f} %" if busy else "?"
    say(
        f"| {name} | {done / seconds:.2f} | {tally.tokens / seconds:,.0f} | {86400 * done / seconds:,.0f} | {share} | "
        f"{1e3 * tally.stepping / max(1, tally.steps):.2f} |"
    )
    pages = max(1, tally.pages)
    say(
        f"the loop: {tally.stepping / seconds:.0%} in {tally.steps} steps, {tally.submitting / seconds:.1%} asking, "
        f"{tally.idle / seconds:.1%} idle; the encoder: at work for {tally.encoding / seconds:.0%} of the time; "
        f"a page took {sum(tally.first) / pages:.1f} s; workers: {1e3 * tally.drawing / pages:.0f} ms drawing and "
        f"{1e3 * tally.cutting / pages:.0f} ms cutting a page"
    )
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def full_layout(name: str) -> object:
    from dsocr.pages.tiling import choose_layout

    return choose_layout(*(round(side * DEFAULT_DPI / 72) for side in A4), get_mode(name))


def front_door(name: str, network: Network, tokenizer: Tokenizer, path: Path, run: argparse.Namespace) -> None:
    """`OCR.readings`, as `dsocr read` has it: one thread draws and cuts the pages."""
    ocr = OCR(network, tokenizer, batch=run.batch)
    options = Options(name, sampling=Sampling(max_tokens=run.tokens), pages=f"1-{run.door}", loops="keep")
    began = time.perf_counter()
    read = [sum(len(delta.ids) for delta in reading) for reading in ocr.readings(path, options)]
    seconds = time.perf_counter() - began
    ocr.engine.close()
    rate = f"{sum(read)} tokens in {seconds:.1f} s: {len(read) / seconds:.2f} pages/s"
    say(f"\nfront door, {name}: {len(read)} pages, {rate}")


@dataclass
class Pool:
    """The workers of one mode and the memory that they share."""

    slots: Slots
    pool: multiprocessing.pool.Pool


def start_workers(name: str, path: Path, run: argparse.Namespace) -> Pool:
    Worker.mode, Worker.path = get_mode(name), path
    Worker.slots = Slots(min(run.pages, run.batch + 3 * run.workers), Worker.mode)
    return Pool(Worker.slots, multiprocessing.get_context("fork").Pool(run.workers, begin_worker))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a micro network in float32, to rehearse")
    parser.add_argument("--modes", nargs="+", default=["gundam", "base"])
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--chunk", type=int, default=2048, help="most prompt rows beside running texts in one step")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="that draw pages")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for each mode")
    parser.add_argument("--door", type=int, default=0, help="pages for the front door, none unless said")
    parser.add_argument("--plain", action="store_true", help="without the fast twins")
    parser.add_argument("--profile", action="store_true", help="of the loop's Python")
    run = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prose.pdf"
        write_pdf(path, 400)
        # Forked before anything touches the card.
        workers = {name: start_workers(name, path, run) for name in run.modes}
        try:
            read_all(run, path, workers)
        finally:
            for made in workers.values():
                made.pool.terminate()


@torch.inference_mode()
def read_all(run: argparse.Namespace, path: Path, workers: dict[str, Pool]) -> None:
    device = torch.device(run.device)
    tokenizer = Tokenizer(NANO / "tokenizer.json")
    tokenizer.eos = -1  # which no text meets: all are of one length
    began = time.perf_counter()
    if run.tiny:
        network = load_network(MICRO, read_config(MICRO), 300, device=device, dtype=torch.float32)
    else:
        network = make_network(device)
    tokenizer.image = network.image_token_id
    if not run.plain:
        speed_up(network)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    say(f"# Whole pages on {where}, torch {torch.__version__}, {run.workers} workers")
    say(f"network ready in {time.perf_counter() - began:.1f} s, fast twin: {type(network.fast).__name__}")
    for name in run.modes:
        try:
            measure(name, network, tokenizer, run, workers[name])
            if run.door:
                front_door(name, network, tokenizer, path, run)
        except Exception:
            say(traceback.format_exc())
    if device.type == "cuda":
        say(f"\nmost memory taken: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
