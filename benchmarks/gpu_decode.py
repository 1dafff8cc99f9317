"""Decoding at the released size on a GPU: the graphed decoder, its plain twin, and the limits of the card.

Random weights made on the card; no checkpoint is needed. Sections fail one by one and say why.
`python benchmarks/gpu_decode.py [--batches 1 16 64 128 256] [--context 2000] [--only check table ...]`
`python benchmarks/gpu_decode.py --device cpu --tiny` rehearses all of it in Triton's interpreter.
"""

# ruff: noqa: B023 - what is defined in a loop is run in the same turn of it

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
if "cpu" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import BLOCK, KVPool, blocks_for
from dsocr.kernels.early import Early
from dsocr.model.config import DecoderConfig
from dsocr.model.decoder import Decoder

RELEASED = DecoderConfig(
    vocab_size=129280,
    width=1280,
    layers=12,
    heads=10,
    kv_heads=10,
    dense_width=6848,
    dense_layers=1,
    experts=64,
    experts_per_token=6,
    expert_width=896,
    shared_width=1792,
    max_positions=8192,
    norm_eps=1e-6,
    rope_theta=10000.0,
    renormalise=False,
    routed_scale=1.0,
)
TINY = replace(
    RELEASED,
    vocab_size=100,
    width=32,
    layers=2,
    heads=2,
    kv_heads=2,
    dense_width=48,
    experts=4,
    experts_per_token=2,
    expert_width=16,
    shared_width=32,
    max_positions=256,
)
SECTIONS = ("compile", "check", "limits", "table", "products", "attention", "profile")
STD = 0.03  # of the random weights; routers then tell experts apart


@dataclass
class Bench:
    """What all sections share."""

    device: torch.device
    config: DecoderConfig
    batches: list[int]
    context: int
    bandwidth: float  # bytes/s that count as the card's
    steps: int
    ban: bool

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], object], times: int, warm: int = 2) -> float:
        """Of one run, when many follow each other without a wait."""
        for _ in range(warm if self.on_gpu else 0):
            run()
        self.wait()
        began = time.perf_counter()
        for _ in range(times):
            run()
        self.wait()
        return (time.perf_counter() - began) / times

    def graphed_seconds(self, run: Callable[[], object], times: int) -> float:
        """Of one run among `times` in one graph: what the card takes, whatever the host does."""
        if not self.on_gpu:
            return self.seconds(run, 1)
        run()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(times):
                run()
        return self.seconds(graph.replay, 3) / times


def say(*words: object) -> None:
    print(*words, flush=True)


@contextmanager
def section(name: str) -> Iterator[None]:
    """Whatever goes wrong inside is printed, and the next section comes."""
    began = time.perf_counter()
    say(f"\n## {name}")
    try:
        yield
    except Exception:
        say(traceback.format_exc())
    say(f"({name}: {time.perf_counter() - began:.1f} s)")


def random_decoder(config: DecoderConfig, device: torch.device, dtype: torch.dtype) -> Decoder:
    with torch.device("meta"):
        decoder = Decoder(config).to(dtype)
    decoder = decoder.to_empty(device=device).eval().requires_grad_(False)
    torch.manual_seed(1)
    for name, parameter in decoder.named_parameters():
        if "norm" in name:
            parameter.fill_(1)
        else:
            parameter.normal_(0, STD if parameter.shape[-1] > 100 else 0.3)
    return decoder


def filled_pool(config: DecoderConfig, blocks: int, device: torch.device, dtype: torch.dtype) -> KVPool:
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, blocks, dtype, device)
    for store in (pool.keys, pool.values):
        for layer in store:
            layer.normal_()
    return pool


def shuffled_blocks(count: int, each: int) -> list[list[int]]:
    order = torch.randperm(count * each, generator=torch.Generator().manual_seed(2)).tolist()
    return [order[first : first + each] for first in range(0, count * each, each)]


def plain_step(decoder: Decoder, x: Tensor, batch: Batch) -> Tensor:
    return decoder.logits(decoder(x[None], batch)[0])


def error(found: Tensor, wanted: Tensor) -> str:
    """Median and worst relative error of a row, and how many rows choose the same id."""
    gaps = (found.float() - wanted.float()).norm(dim=-1) / wanted.float().norm(dim=-1)
    same = (found.argmax(-1) == wanted.argmax(-1)).float().mean()
    return f"error of a row {float(gaps.median()):.2e}, worst {float(gaps.max()):.2e}, same choice {float(same):.0%}"


WARM = [
    (dtype, rows)
    for dtype in ("bfloat16", "float32", "float16")
    for rows in ([1, 2, 8], [16, 64], [128, 256], [300])  # the last are a prompt's
]


def compile_all(bench: Bench) -> None:
    """Every kernel is compiled at the same time as the others, in processes of their own, and kept on the disk."""
    if not bench.on_gpu:
        return warm(bench, "float32", [1, 2])
    early = ["--early"] * Early.on
    asked = [["--warm", dtype, *map(str, rows), *early] for dtype, rows in WARM]
    children = [subprocess.Popen([sys.executable, __file__, *words]) for words in asked]
    for child, words in zip(children, asked, strict=True):
        say(words, "ended with", child.wait())


def warm(bench: Bench, dtype: str, sizes: list[int]) -> None:
    """Runs each kernel once: what it is compiled to lies in Triton's cache from then on."""
    from dsocr.kernels.greedy import Ban
    from dsocr.model.graphed import Burst, GraphedDecoder

    kind = getattr(torch, dtype)
    decoder = random_decoder(replace(bench.config, layers=2), bench.device, kind)
    fast, pool = GraphedDecoder(decoder), filled_pool(decoder.config, 5, bench.device, kind)
    for rows in sizes:
        x = torch.randn(rows, bench.config.width, device=bench.device).to(kind)
        spans = [Span([0], 3, 4)] * rows if rows <= 256 else [Span(range(5), 0, rows)]
        fast.step(x, Batch(pool, spans), [0])
        if rows <= 256:
            tables = torch.zeros(rows, 1, dtype=torch.int32)
            fast.greedy(pool, Burst([0] * rows, [3] * rows, tables, ban=Ban(30, 90, 7)), 1)
    bench.wait()


def check(bench: Bench) -> None:
    """Graphed and plain read the same: exactly enough in float32, within rounding in bfloat16 and float16."""
    from dsocr.model.graphed import GraphedDecoder

    small = replace(bench.config, layers=3) if bench.on_gpu else bench.config
    cases = [(small, torch.float32), (small, torch.float16), (small, torch.bfloat16), (bench.config, torch.bfloat16)]
    for config, dtype in cases if bench.on_gpu else cases[:1]:
        decoder = random_decoder(config, bench.device, dtype)
        exact = None
        if config is small and dtype != torch.float32:
            exact = random_decoder(config, bench.device, dtype).float()
        fast, dim = GraphedDecoder(decoder), config.width
        for rows in (1, 2, 5, 16, 60, 200) if bench.on_gpu else (1, 3):
            most = bench.config.max_positions // BLOCK // 2
            each = min(most, 9)
            pool = filled_pool(config, rows * each, bench.device, dtype)
            ends = torch.randint(1, each * BLOCK, (rows,), generator=torch.Generator().manual_seed(rows)).tolist()
            spans = [Span(b, e - 1, e) for b, e in zip(shuffled_blocks(rows, each), ends, strict=True)]
            x = torch.randn(rows, dim, device=bench.device).to(dtype)
            keys, values = pool.keys.clone(), pool.values.clone()
            wanted = plain_step(decoder, x, Batch(pool, spans))
            plain_keys = pool.keys.clone()
            pool.keys.copy_(keys), pool.values.copy_(values)
            found = fast.step(x, Batch(pool, spans), range(rows))
            stored = float((pool.keys.float() - plain_keys.float()).abs().max())
            say(f"{dtype} {config.layers} layers, {rows} rows: {error(found, wanted)}; keys differ by {stored:.1e}")
            if exact is not None and rows == 16:
                wide = KVPool(*_shape(config), pool.blocks, torch.float32, bench.device)
                wide.keys.copy_(keys), wide.values.copy_(values)
                truth = plain_step(exact, x.float(), Batch(wide, spans))
                say(f"  against float32: graphed {error(found, truth)}; plain {error(wanted, truth)}")
            again = fast.step(x, Batch(pool, spans), range(rows))
            say(f"  the same again: {bool(torch.equal(found, again))}")
        prompts(bench, decoder, fast, config, dtype)
        bursts(bench, decoder, fast, config, dtype)


def _shape(config: DecoderConfig) -> tuple[int, int, int]:
    return config.layers, config.kv_heads, config.head_dim


def prompts(bench: Bench, decoder: Decoder, fast: object, config: DecoderConfig, dtype: torch.dtype) -> None:
    """A step that brings prompts, and running texts beside them."""
    scale = 1 if bench.on_gpu else 16
    sizes = [(0, 200 // scale), (70, 71), (10, 90 // scale + 10), (40, 41)]
    pool = filled_pool(config, 4 * 4, bench.device, dtype)
    spans = [Span(blocks, *size) for blocks, size in zip(shuffled_blocks(4, 4), sizes, strict=True)]
    count = sum(end - begin for begin, end in sizes)
    x = torch.randn(count, config.width, device=bench.device).to(dtype)
    wanted = [0, sizes[0][1], count - 1]
    plain = plain_step(decoder, x, Batch(pool, spans))[wanted]
    found = fast.step(x, Batch(pool, spans), wanted)  # type: ignore[attr-defined]
    say(f"  prompts beside texts: {error(found, plain)}")


def bursts(bench: Bench, decoder: Decoder, fast: object, config: DecoderConfig, dtype: torch.dtype) -> None:
    """Bursts write what single steps write, with the ban as the engine has it."""
    from dsocr.engine.sampling import windowed_ngram_ban
    from dsocr.kernels.greedy import Ban
    from dsocr.model.graphed import Burst

    rows, steps, ngram, window = (4, 40, 3, 9) if bench.on_gpu else (2, 3, 2, 4)
    never, spared = 7, frozenset({3, 5})
    pool = filled_pool(config, rows * 3, bench.device, dtype)
    blocks = shuffled_blocks(rows, 3)
    starts = [3 + 20 * row for row in range(rows)]
    texts = [[(11 * row + 1) % config.vocab_size] for row in range(rows)]
    tables = torch.tensor(blocks, dtype=torch.int32)
    burst = Burst([t[-1] for t in texts], starts, tables, texts, Ban(ngram, window, never), spared)
    found = fast.greedy(pool, burst, steps).tolist()  # type: ignore[attr-defined]
    banned_at_all = 0
    for step in range(steps):
        spans = [Span(b, s + step, s + step + 1) for b, s in zip(blocks, starts, strict=True)]
        ids = torch.tensor([text[-1] for text in texts], device=bench.device)
        logits = fast.step(decoder.embed(ids), Batch(pool, spans), range(rows))  # type: ignore[attr-defined]
        logits[:, never] = float("-inf")
        for row, text in zip(logits, texts, strict=True):
            banned = windowed_ngram_ban(text, ngram, window, spared)
            banned_at_all += int(row.argmax()) in banned
            row[list(banned)] = float("-inf")
            text.append(int(row.argmax()))
    written = [text[1:] for text in texts]
    say(f"  burst of {steps} = single steps: {found == written}; {banned_at_all} choices were banned")
    if found != written:
        say("  burst ", found[0][:20], "\n  single", written[0][:20])


def limits(bench: Bench) -> None:
    """What the card can do at most."""
    size = 2**31 if bench.on_gpu else 2**20
    one = torch.empty(size, dtype=torch.uint8, device=bench.device).view(torch.float32)
    other = torch.empty_like(one)
    one.fill_(1)
    copied = bench.seconds(lambda: other.copy_(one), 10)
    read = bench.seconds(lambda: one.sum(), 10)
    say(f"copy {2 * size / copied / 1e12:.2f} TB/s, read (sum) {size / read / 1e12:.2f} TB/s")
    side = 8192 if bench.on_gpu else 64
    a = torch.randn(side, side, device=bench.device).bfloat16()
    product = bench.seconds(lambda: a @ a, 10)
    say(f"bfloat16 product of {side}: {2 * side**3 / product / 1e12:.0f} TFLOP/s")


def step_bytes(config: DecoderConfig, rows: int, context: int) -> tuple[float, float]:
    """Bytes in bfloat16 that a step reads: weights - as many experts as rows choose by chance - and keys, values."""
    width = config.width
    attention = 4 * width * width
    expert = 3 * width * config.expert_width
    touched = config.experts * (1 - (1 - config.experts_per_token / config.experts) ** rows)
    moe = touched * expert + 3 * width * config.shared_width + config.experts * width
    layers = config.layers * attention + config.dense_layers * 3 * width * config.dense_width
    weights = layers + (config.layers - config.dense_layers) * moe + config.vocab_size * width
    cached = rows * context * config.layers * 2 * config.kv_heads * config.head_dim
    return 2 * weights, 2 * cached


def table(bench: Bench) -> None:
    """Step times at several batch sizes."""
    from dsocr.kernels.greedy import Ban
    from dsocr.model.graphed import Burst, GraphedDecoder

    config, dtype = bench.config, torch.bfloat16 if bench.on_gpu else torch.float32
    decoder = random_decoder(config, bench.device, dtype)
    fast = GraphedDecoder(decoder)
    each = blocks_for(bench.context + 3 * bench.steps + 2)
    pool = filled_pool(config, max(bench.batches) * each, bench.device, dtype)
    say("| batch | ms/step | tokens/s | GB | TB/s | of the floor | with a wait each | in bursts | tokens/s | plain |")
    say("|---|---|---|---|---|---|---|---|---|---|")
    for rows in bench.batches:
        try:
            blocks = shuffled_blocks(max(bench.batches), each)[:rows]
            batch = Batch(pool, [Span(own, bench.context - 1, bench.context) for own in blocks])
            x = torch.randn(rows, config.width, device=bench.device).to(dtype)
            wanted = range(rows)
            times = bench.steps if bench.on_gpu else 1
            step = bench.seconds(lambda: fast.step(x, batch, wanted), times)
            waited = bench.seconds(lambda: fast.step(x, batch, wanted).argmax(-1).tolist(), times)
            ids = torch.randint(0, config.vocab_size, (rows,), generator=torch.Generator().manual_seed(3)).tolist()
            ban = Ban(30, 90, config.vocab_size - 1) if bench.ban else Ban()
            past = [[i] for i in ids]
            burst = Burst(ids, [bench.context - 1] * rows, batch.tables, past, ban)
            long = 2 * times
            bursted = bench.seconds(lambda: fast.greedy(pool, burst, long), 2, warm=1) / long
            weights, cached = step_bytes(config, rows, bench.context)
            plain = bench.seconds(lambda: plain_step(decoder, x, batch), 2, warm=1)
            say(
                f"| {rows} | {1e3 * step:.3f} | {rows / step:,.0f} | {(weights + cached) / 1e9:.2f} "
                f"| {(weights + cached) / step / 1e12:.2f} | {(weights + cached) / bench.bandwidth / step:.0%} "
                f"| {1e3 * waited:.3f} | {1e3 * bursted:.3f} | {rows / bursted:,.0f} | {1e3 * plain:.1f} |"
            )
        except Exception:
            say(traceback.format_exc())
    if bench.on_gpu:
        say(f"most memory held: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def products(bench: Bench) -> None:
    """One row's products: the own kernel in several shapes, and cuBLAS; experts for several numbers of rows."""
    import torch.nn.functional as F

    from dsocr.kernels.experts import Experts, ask, ask_alone, choose
    from dsocr.kernels.rows import add_norm, linear_alone

    config, dtype = bench.config, torch.bfloat16 if bench.on_gpu else torch.float32
    width = config.width

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, device=bench.device).mul_(STD).to(dtype)

    # Several copies, so that none is found in the cache.
    copies = 12 if bench.on_gpu else 1
    row = drawn(1, width)
    for outputs in (width, 3 * width, config.vocab_size):
        weights = [drawn(outputs, width) for _ in range(copies if outputs < 10_000 else 2)]
        size = sum(w.numel() * w.element_size() for w in weights)
        line = f"1 x {width} x {outputs}:"

        def note(what: str, run: Callable[[Tensor], object], weights=weights, size=size) -> str:  # type: ignore[no-untyped-def]
            took = bench.graphed_seconds(lambda: [run(w) for w in weights], 2)
            return f" {what} {1e6 * took / len(weights):.1f} us ({size / took / 1e12:.2f} TB/s)"

        line += note("cuBLAS", lambda w: F.linear(row, w))
        for columns, warps in ((4, 2), (4, 4), (8, 4), (16, 4), (16, 8)):
            line += note(f"own {columns}/{warps}", lambda w, c=columns, n=warps: linear_alone(row, w, c, n))  # type: ignore[misc]
        say(line)
        del weights
    inner, shared = config.expert_width, config.shared_width
    mixtures = [
        Experts(
            drawn(config.experts, width),
            *(drawn(config.experts, inner, width), drawn(config.experts, inner, width)),
            drawn(config.experts, width, inner),
            *(drawn(shared, width), drawn(shared, width), drawn(width, shared)),
            *(config.experts_per_token, False, 1.0),
        )
        for _ in range(3 if bench.on_gpu else 1)
    ]
    norm = torch.ones(width, device=bench.device, dtype=dtype)
    for rows in (1, 2, 8, 16, 64, 128, 256, 1024) if bench.on_gpu else (1, 3):
        x = drawn(rows, width) * 30
        normed, weights, chosen = choose(x, torch.zeros_like(x), norm, 1e-6, mixtures[0])
        touched = len(chosen.unique())
        size = 2 * 3 * width * (touched * inner + shared)
        picks = bench.graphed_seconds(lambda x=x: [choose(x, x, norm, 1e-6, m) for m in mixtures], 2)  # type: ignore[misc]
        if rows == 1:
            run = lambda: [ask_alone(normed, chosen, weights, m) for m in mixtures]  # noqa: E731
        else:
            run = lambda: [ask(normed, chosen, m) for m in mixtures]  # noqa: E731
        took = bench.graphed_seconds(run, 2) / len(mixtures)
        norms = bench.graphed_seconds(lambda x=x: add_norm(x, x[:, None], None, norm, 1e-6), 6)  # type: ignore[misc]
        say(
            f"{rows} rows ask {touched} experts: {1e6 * took:.1f} us ({size / took / 1e12:.2f} TB/s); "
            f"choosing {1e6 * picks / len(mixtures):.1f} us; norm {1e6 * norms:.1f} us"
        )


def attention(bench: Bench) -> None:
    """Attention alone, in several shapes."""
    from dsocr.kernels import paged_attention as kernel

    config, dtype = bench.config, torch.bfloat16 if bench.on_gpu else torch.float32
    heads = kernel.Heads(config.heads, config.kv_heads, config.head_dim)
    each = blocks_for(bench.context)
    most = max(bench.batches)
    layers = 3 if bench.on_gpu else 1
    pool = filled_pool(replace(config, layers=layers), most * each, bench.device, dtype)
    rope = torch.ones(config.max_positions, config.head_dim // 2, device=bench.device, dtype=dtype)
    before, splits = (kernel.TILE, kernel.STAGES), kernel.splits_for
    for rows in bench.batches:
        qkv = torch.randn(rows, heads.width, device=bench.device).to(dtype)
        positions = torch.full((rows,), bench.context - 1, dtype=torch.int32, device=bench.device)
        tables = torch.tensor(shuffled_blocks(most, each)[:rows], dtype=torch.int32, device=bench.device)
        places = kernel.Places(positions, tables)
        size = 2 * rows * bench.context * config.kv_heads * config.head_dim * pool.keys.element_size()
        line = f"{rows} rows:"
        usual = splits(rows)
        shapes = [(32, 3, usual), (32, 1, usual), (32, 2, usual), (32, 4, usual), (64, 2, usual)]
        shapes += [(32, 3, max(1, usual // 2)), (32, 3, usual * 2)]
        for tile, stages, pieces in shapes if bench.on_gpu else shapes[:1]:
            kernel.TILE, kernel.STAGES = tile, stages
            kernel.splits_for = lambda rows, pieces=pieces: pieces  # type: ignore[misc, assignment]
            try:
                took = bench.graphed_seconds(
                    lambda: [
                        kernel.paged_attention(qkv, heads, (rope, rope), places, pool.keys[n], pool.values[n])
                        for n in range(layers)
                    ],
                    2,
                )
                took /= layers
                line += f" {tile}/{stages}/{pieces} {1e6 * took:.1f} us ({size / took / 1e12:.2f} TB/s);"
            except Exception as failed:
                line += f" {tile}/{stages}/{pieces} {type(failed).__name__};"
            finally:
                (kernel.TILE, kernel.STAGES), kernel.splits_for = before, splits
        say(line)


def profile(bench: Bench) -> None:
    """Where the time of a step goes, kernel by kernel."""
    from dsocr.model.graphed import GraphedDecoder

    config, dtype = bench.config, torch.bfloat16 if bench.on_gpu else torch.float32
    fast = GraphedDecoder(random_decoder(config, bench.device, dtype))
    each = blocks_for(bench.context)
    sizes = [size for size in (1, 64, 256) if size <= max(bench.batches)]
    pool = filled_pool(config, max(sizes) * each, bench.device, dtype)
    kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * bench.on_gpu
    for rows in sizes:
        batch = Batch(pool, [Span(own, bench.context - 1, bench.context) for own in shuffled_blocks(rows, each)])
        x = torch.randn(rows, config.width, device=bench.device).to(dtype)
        fast.step(x, batch, range(rows))
        bench.wait()
        with torch.profiler.profile(activities=kinds) as watched:
            for _ in range(5 if bench.on_gpu else 1):
                fast.step(x, batch, range(rows))
            bench.wait()
        say(f"{rows} rows, 5 steps:")
        sort = "self_device_time_total" if bench.on_gpu else "self_cpu_time_total"
        events = sorted(watched.key_averages(), key=lambda event: -getattr(event, sort))[:16]
        for event in events:
            total = getattr(event, sort)
            say(f"  {total / 5:9.1f} us/step  {event.count / 5:6.1f} times  {event.key[:90]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a decoder of two narrow layers")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 128, 256])
    parser.add_argument("--context", type=int, default=2000)
    parser.add_argument("--bandwidth", type=float, default=4.3e12, help="bytes/s that the floor is counted with")
    parser.add_argument(
        "--steps", type=int, default=30, help="steps for each figure, twice as many in a burst; at most 32"
    )
    parser.add_argument("--warm", nargs="+", help="a dtype and numbers of rows: only compiles, for itself")
    parser.add_argument("--early", action="store_true", help="launch kernels before the one before has ended")
    parser.add_argument("--no-ban", action="store_true", help="bursts without the ban on repeats")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    config, batches, context, steps = RELEASED, asked.batches, asked.context, asked.steps
    if asked.tiny:
        config, batches, context, steps = TINY, [1, 3], 70, 2
    bench = Bench(device, config, batches, context, asked.bandwidth, steps, not asked.no_ban)
    name = torch.cuda.get_device_name() if bench.on_gpu else "CPU"
    if not asked.warm:
        say(f"{name}, torch {torch.__version__}, python {sys.version.split()[0]}, {asked}")
    torch.manual_seed(0)
    Early.on = asked.early
    if asked.warm:
        with torch.inference_mode():
            return warm(bench, asked.warm[0], [int(rows) for rows in asked.warm[1:]])
    known = dict(zip(SECTIONS, (compile_all, check, limits, table, products, attention, profile), strict=True))
    with torch.inference_mode():
        for title in asked.only:
            with section(title):
                known[title](bench)
            gc.collect()  # graphs and their decoder hold each other
            if bench.on_gpu:
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
