"""How fast a GPU encodes pages, beside what it could do at most: `python -m benchmarks.gpu_encode [--compile]`.

The encoder has the released size and random weights, drawn on the device in bfloat16. Told in turn: the measured limits
of the card; how far bfloat16 and float16 are from float32; views per second by side and batch, and what a page of each
mode comes to; the same with the plain attention, whose matrices are held in memory; one page alone, also as a CUDA
graph; the fused attention by its backends; and, if asked, compiled layers. `--device cpu --tiny` rehearses it all.
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dsocr.model import sam
from dsocr.model.config import Config, parse_config
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.model.fast_encoder import remember_tables
from dsocr.model.released import RELEASED
from dsocr.views import Views

TILE, OVERVIEW = 640, 1024
# The views of a page: sides and how many there are of each; gundam as an A4 page has them.
MODES = {
    "tiny": {512: 1},
    "small": {640: 1},
    "base": {1024: 1},
    "large": {1280: 1},
    "gundam": {TILE: 6, OVERVIEW: 1},
}
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


class Bench:
    """What all sections share: the device, the sizes, and the measured limit of arithmetic."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.device = torch.device(given.device)
        self.gpu = self.device.type == "cuda"
        self.config = tiny_config() if given.tiny else parse_config(RELEASED)
        self.tiny: bool = given.tiny
        self.batches: list[int] = given.batches
        self.budget: float = given.seconds
        self.ceiling = float("nan")  # FLOP/s

    def side(self, pixels: int) -> int:
        return max(64, pixels // 8 // 64 * 64) if self.tiny else pixels

    def rate(self, work: Callable[[], object], least: int = 3) -> float:
        """Mean seconds of a run: after one to warm up, as many as the budget holds."""
        work()
        self.wait()
        runs, began = 0, time.perf_counter()
        while runs < least or time.perf_counter() - began < self.budget:
            work()
            runs += 1
            if runs % least == 0:
                self.wait()
        self.wait()
        return (time.perf_counter() - began) / runs

    def wait(self) -> None:
        if self.gpu:
            torch.cuda.synchronize()

    def drawn(self, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(shape, device=self.device, dtype=dtype)

    def encoder(self, dtype: torch.dtype = torch.bfloat16) -> DeepEncoder:
        """The same weights each time, drawn in float32: numbers keep their size from layer to layer."""
        with torch.device("meta"):
            encoder = DeepEncoder(self.config)
        generator = torch.Generator(self.device).manual_seed(0)
        for name, meta in list(encoder.named_parameters()):
            if "norm" in name:
                drawn = torch.full(meta.shape, float(name.endswith("weight")), device=self.device)
            else:
                drawn = torch.randn(meta.shape, generator=generator, device=self.device)
                drawn *= meta[0].numel() ** -0.5 if meta.ndim > 1 else 0.02
            part, _, own = name.rpartition(".")
            setattr(encoder.get_submodule(part), own, nn.Parameter(drawn.to(dtype), requires_grad=False))
        remember_tables(encoder.eval())
        return encoder

    def pixels(self, count: int, side: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(side)
        drawn = torch.rand(count, 3, self.side(side), self.side(side), generator=generator, device=self.device)
        return (drawn * 2 - 1).to(dtype)

    @cache  # noqa: B019 - it lives as long as the program
    def operations(self, side: int) -> int:
        """Of one view, counted over the plain network: a multiply-add is two."""
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            DeepEncoder(self.config)(torch.empty(1, 3, self.side(side), self.side(side)))
        return int(counter.get_total_flops())


def tiny_config() -> Config:
    config = parse_config(RELEASED)
    return replace(
        config,
        sam=replace(
            config.sam,
            width=96,
            layers=3,
            heads=3,
            global_layers=frozenset({1}),
            neck_width=32,
            compressor_widths=(64, 128),
        ),
        clip=replace(config.clip, layers=2, width=128, heads=2, mlp_width=256),
        decoder=replace(config.decoder, width=64),
    )


def say(*words: str) -> None:
    print(*words, flush=True)


@contextmanager
def section(title: str) -> Iterator[None]:
    """A part of the report; what goes wrong in it is told and costs no other part."""
    say(f"\n## {title}\n")
    began = time.perf_counter()
    try:
        yield
    except Exception:
        say(traceback.format_exc())
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(f"\n({time.perf_counter() - began:.1f} s)")


@contextmanager
def plain_attention() -> Iterator[None]:
    fuses = sam._fuses
    sam._fuses = lambda q: False
    try:
        yield
    finally:
        sam._fuses = fuses


def ceilings(bench: Bench) -> None:
    """What the card can do at most."""
    size, edge = (2**30, 8192) if bench.gpu else (2**22, 256)
    source = torch.zeros(size, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    taken = bench.rate(lambda: target.copy_(source), 10)
    say(f"copying: {2 * size / taken / 1e12:.2f} TB/s, read and written")
    a, b = bench.drawn(edge, edge), bench.drawn(edge, edge)
    bench.ceiling = 2 * edge**3 / bench.rate(lambda: a @ b, 10)
    say(f"bfloat16 product of two {edge} by {edge} matrices: {bench.ceiling / 1e12:.1f} TFLOP/s")


def errors(bench: Bench) -> None:
    """How far half precision is from float32, and a page in company from itself alone."""
    say(
        "| side | bfloat16 | float16 | bfloat16, plain attention | bfloat16, alone and among 8 |\n|---|---|---|---|---|"
    )
    exact_encoder, halves = bench.encoder(torch.float32), [bench.encoder(torch.bfloat16), bench.encoder(torch.float16)]
    for side in (TILE, OVERVIEW):
        shown = bench.pixels(1, side, torch.float32)
        exact = exact_encoder(shown)
        seen = [encoder(shown.to(encoder.newline.dtype)) for encoder in halves]
        with plain_attention():
            seen.append(halves[0](shown.bfloat16()))
        found = [float((each.float() - exact).norm() / exact.norm()) for each in seen]
        together = halves[0](torch.cat([shown, bench.pixels(7, side, torch.float32)]).bfloat16())[:1].float()
        found.append(float((together - seen[0].float()).norm() / exact.norm()))
        say(f"| {side} | " + " | ".join(f"{each:.1e}" for each in found) + " |")


def sides(bench: Bench, encoder: DeepEncoder, batches: list[int], name: str) -> dict[int, float]:
    """Views per second by side and batch; the best seconds a view."""
    say(
        f"{name}\n\n| side | GFLOP a view | batch | views/s | TFLOP/s | share of the limit |\n|---|---|---|---|---|---|"
    )
    best: dict[int, float] = {}
    for side in sorted({side for views in MODES.values() for side in views}):
        work = bench.operations(side)
        for batch in batches:
            try:
                pixels = bench.pixels(batch, side)
                each = bench.rate(partial(encoder, pixels)) / batch
            except torch.OutOfMemoryError as error:
                say(f"| {side} | {work / 1e9:.0f} | {batch} | {str(error).splitlines()[0][:90]} | | |")
                break
            best[side] = min(best.get(side, each), each)
            rate = work / each
            speed = f"{1 / each:.1f} | {rate / 1e12:.1f} | {rate / bench.ceiling:.0%}"
            say(f"| {side} | {work / 1e9:.0f} | {batch} | {speed} |")
    return best


def modes(bench: Bench, best: dict[int, float], name: str) -> None:
    say(f"\n{name}, best batches\n\n| mode | TFLOP a page | ms a page | pages/s | pages a day | share of the limit |")
    say("|---|---|---|---|---|---|")
    for mode, views in MODES.items():
        if set(views) <= set(best):
            seconds = sum(count * best[side] for side, count in views.items())
            work = sum(count * bench.operations(side) for side, count in views.items())
            share = work / seconds / bench.ceiling
            row = f"{work / 1e12:.2f} | {1e3 * seconds:.2f} | {1 / seconds:.1f} | {86400 / seconds:,.0f} | {share:.0%}"
            say(f"| {mode} | {row} |")


def page_of(bench: Bench) -> Views:
    """A4 in gundam as the engine gets it: on the host, in bfloat16."""
    overview, tiles = bench.pixels(1, OVERVIEW).cpu()[0], bench.pixels(6, TILE).cpu()
    return Views(overview, tiles, rows=3, columns=2)


def pages(bench: Bench, encoder: DeepEncoder) -> None:
    """Whole gundam pages as the engine hands them over, views on the host."""
    page = page_of(bench)
    for count in (1, 4, 9, 18):
        taken = bench.rate(lambda count=count: encoder.read_many([page] * count))
        say(f"read_many, {count} gundam pages from the host: {1e3 * taken:.1f} ms, {count / taken:.1f} pages/s")
    overview, tiles = bench.pixels(1, OVERVIEW), bench.pixels(6, TILE)
    eager = bench.rate(lambda: (encoder(overview), encoder(tiles)))
    say(f"one page's views on the device: {1e3 * eager:.2f} ms")
    if not bench.gpu:
        return
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            encoder(overview), encoder(tiles)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        seen = encoder(overview), encoder(tiles)
    replayed = bench.rate(graph.replay)
    same = all(torch.equal(a, b) for a, b in zip(seen, (encoder(overview), encoder(tiles)), strict=True))
    say(f"the same as a CUDA graph: {1e3 * replayed:.2f} ms, {'the same' if same else 'OTHER'} numbers")


def backends(bench: Bench) -> None:
    """SAM's fused attention by backend and by the width that v is filled up to."""
    say("| sheet | backend | v | ms | TFLOP/s of q·k and weights·v alone |\n|---|---|---|---|---|")
    config = bench.config.sam
    heads, dim = config.heads, config.width // config.heads
    big = bench.gpu
    for name, count, side in (
        ("windows of 14", 25 * 16 if big else 2, config.window),
        ("40 by 40", 40 if big else 1, bench.side(640) // 16),
        ("64 by 64", 16 if big else 1, bench.side(1024) // 16),
    ):
        places, joint = side * side, -(-(dim + 2 * side) // 8) * 8
        asking, held = (bench.drawn(heads, count, places, joint) * 0.3 for _ in range(2))
        work = 4 * heads * count * places**2 * dim
        for width in (joint, dim):
            v = bench.drawn(heads, count, places, width)
            for backend in ("default", *BACKENDS):
                run = partial(F.scaled_dot_product_attention, asking, held, v, scale=1.0)
                try:
                    if backend == "default":
                        taken = bench.rate(run)
                    else:
                        with sdpa_kernel(BACKENDS[backend]):
                            taken = bench.rate(run)
                    say(f"| {name} ({joint}) | {backend} | {width} | {1e3 * taken:.3f} | {work / taken / 1e12:.0f} |")
                except RuntimeError as error:
                    say(f"| {name} ({joint}) | {backend} | {width} | {str(error).splitlines()[0][:80]} | |")
    # What a batch of a size that was not seen before costs at first: some backends plan anew.
    for backend in ("default", *BACKENDS):
        taken = []
        for count in range(1, 6):
            q = bench.drawn(heads, count, config.window**2, 96)
            bench.wait()
            began = time.perf_counter()
            try:
                if backend == "default":
                    F.scaled_dot_product_attention(q, q, q)
                else:
                    with sdpa_kernel(BACKENDS[backend]):
                        F.scaled_dot_product_attention(q, q, q)
            except RuntimeError:
                continue
            bench.wait()
            taken.append(f"{1e3 * (time.perf_counter() - began):.1f}")
        say(f"first run of five new batch sizes, {backend}: {', '.join(taken) or 'none'} ms")


def chosen_backend(bench: Bench, encoder: DeepEncoder) -> None:
    """The whole encoder with only some backends allowed."""
    for side in (TILE, OVERVIEW):
        pixels = bench.pixels(16 if bench.gpu else 1, side)
        for backend in ("default", *BACKENDS):
            try:
                if backend == "default":
                    taken = bench.rate(partial(encoder, pixels))
                else:
                    with sdpa_kernel([BACKENDS[backend], SDPBackend.MATH]):
                        taken = bench.rate(partial(encoder, pixels))
                say(f"{len(pixels)} views of {side}, attention by {backend}: {len(pixels) / taken:.1f} views/s")
            except RuntimeError as error:
                say(f"{side}, {backend}: {str(error).splitlines()[0][:100]}")


def shares(bench: Bench, encoder: DeepEncoder) -> None:
    """Where the time goes, by kernel."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CUDA] if bench.gpu else [ProfilerActivity.CPU]
    for side in (TILE, OVERVIEW):
        pixels = bench.pixels(16 if bench.gpu else 1, side)
        encoder(pixels)
        bench.wait()
        with profile(activities=kinds) as profiled:
            encoder(pixels)
            bench.wait()
        kernels: list[tuple[float, int, str]] = []
        for event in profiled.key_averages():
            own = event.self_device_time_total if bench.gpu else event.self_cpu_time_total
            kernels.append((float(own), int(event.count), str(event.key)))
        whole = sum(each[0] for each in kernels) or 1.0
        count = sum(each[1] for each in kernels)
        say(f"\n{len(pixels)} views of {side}: {whole / 1e3:.1f} ms in {count} kernels")
        for own, count, key in sorted(kernels, reverse=True)[:14]:
            say(f"  {own / whole:6.1%} {own / 1e3:8.2f} ms {count:5} × {key[:110]}")


def compiled(bench: Bench) -> None:
    encoder = bench.encoder()
    for layer in (*encoder.sam.layers, *encoder.clip.layers):
        layer.compile(dynamic=False)
    plain = bench.encoder()
    batch = 16 if bench.gpu else 1
    for side in (TILE, OVERVIEW):
        pixels = bench.pixels(batch, side)
        began = time.perf_counter()
        seen = encoder(pixels)
        bench.wait()
        ready = time.perf_counter() - began
        taken, eager = bench.rate(partial(encoder, pixels)), bench.rate(partial(plain, pixels))
        exact = plain(pixels).float()
        off = float((seen.float() - exact).norm() / exact.norm())
        say(
            f"{batch} views of {side}: {batch / taken:.1f} views/s compiled (ready after {ready:.1f} s), "
            f"{batch / eager:.1f} not: {eager / taken:.2f} ×; they differ by {off:.1e}"
        )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a small encoder and small views, to rehearse")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=0.25, help="for each rate")
    parser.add_argument("--compile", action="store_true", help="layers through torch.compile, too")
    parser.add_argument("--no-plain", action="store_true", help="without the plain attention")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # which say why a backend cannot be had
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    bench = Bench(given)
    name = torch.cuda.get_device_name() if bench.gpu else "CPU"
    say(f"# Encoding on {name}, torch {torch.__version__}")
    with section("Limits of this card"):
        ceilings(bench)
    with section("Relative errors against float32"):
        errors(bench)
    encoder = bench.encoder()
    with section("Views by side and batch"):
        modes(bench, sides(bench, encoder, bench.batches, "fused attention"), "fused attention")
    with section("Whole pages"):
        pages(bench, encoder)
    with section("The attention by itself"):
        backends(bench)
    with section("The encoder by backend of its attention"):
        chosen_backend(bench, encoder)
    with section("Where the time goes"):
        shares(bench, encoder)
    if not given.no_plain:
        with section("Plain attention"), plain_attention():
            modes(bench, sides(bench, encoder, [8 if bench.gpu else 1], "plain attention"), "plain attention")
    if given.compile:
        with section("Compiled layers"):
            compiled(bench)
    if bench.gpu:
        say(f"\nmost memory taken: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
