"""How fast this machine reads, beside what it could do at most: the table that `dsocr bench` prints."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import KVPool, blocks_for
from dsocr.errors import InputError
from dsocr.kernels import library, limits
from dsocr.model.compiled import CompiledDecoder
from dsocr.model.moe import MixtureOfExperts
from dsocr.model.network import Network
from dsocr.model.quantised import BITS, can_shorten
from dsocr.model.released import random_network
from dsocr.model.speed import speed_up, widens_encoder
from dsocr.ocr import DTYPES, choose_device, load

RELEASED_NAME = "released"  # instead of a model: its size, with random weights
CONTEXT = 300  # places that each sequence has behind it
PROMPT = 256  # places
SECONDS = 3.0  # for each rate
_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Rate:
    """One line of the table: what was measured, and its share of the limit named."""

    what: str
    value: float
    unit: str
    share: float | None = None
    limit: str = ""

    def row(self) -> str:
        """As a row of a Markdown table."""
        share = f"{self.share:.0%} of {self.limit}" if self.share is not None else self.limit
        value = f"{self.value:.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"| {self.what} | {value} {self.unit} | {share} |"


def describe(network: Network, name: str) -> str:
    """Which machine, which model, what it is computed with."""
    means = "graphs of the decoder" if network.device.type == "cuda" else f"compiled core ({library.level()})"
    fast = means if network.fast else "plain PyTorch"
    device = (
        torch.cuda.get_device_name() if network.device.type == "cuda" else platform.processor() or platform.machine()
    )
    return f"{name} on {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {fast}"


def run(
    model: str,
    device: str,
    dtype: str,
    batches: Sequence[int],
    threads: int | None,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    """Load a model and say the table line by line; InputError for what is unknown."""
    if threads is not None:
        if threads < 1:
            raise InputError(f"threads is {threads}; it must be 1 or more")
        torch.set_num_threads(threads)
    began = time.perf_counter()
    network = _released(device, dtype) if model == RELEASED_NAME else load(model, device, dtype).network
    say(f"{describe(network, f'{model} ({dtype})')}; ready in {time.perf_counter() - began:.1f} s")
    say("")
    say("| what | rate | share |")
    say("|---|---|---|")
    for rate in measure(network, batches, seconds=seconds):
        say(rate.row())


def parse_batches(text: str) -> tuple[int, ...]:
    """Such as "1,4,16"; InputError for anything else."""
    try:
        batches = tuple(int(number) for number in text.split(","))
    except ValueError:
        batches = ()
    if not batches or min(batches) < 1:
        raise InputError(f"batch {text!r} is no list of numbers such as 1,4,16")
    return batches


def _released(device: str, dtype: str) -> Network:
    forms = ("float32", "bfloat16", *BITS)
    if dtype not in ("auto", *forms):
        raise InputError(f"dtype {dtype!r} is unknown for random weights; known: auto, {', '.join(forms)}")
    network = random_network("bfloat16" if dtype == "auto" else dtype).to(choose_device(device))
    if widens_encoder(DTYPES.get(dtype), network.device):
        network.deep_encoder.float()  # as `dsocr.load` has it
    speed_up(network)
    if isinstance(network.fast, CompiledDecoder) and can_shorten(network.decoder):
        network.fast.shorten()
    return network


def measure(
    network: Network, batches: Sequence[int] = (1, 4, 16), view: int = 640, seconds: float = SECONDS
) -> Iterator[Rate]:
    """The machine's limits, then the rates of decoding and of encoding, `seconds` for each; as they become known."""
    on_cpu, threads = network.device.type == "cpu", torch.get_num_threads()
    bandwidth = limits.read_bandwidth(threads) if on_cpu else None
    arithmetic = limits.bf16(threads) if on_cpu else None
    floats = limits.fp32(threads) if on_cpu else None
    if bandwidth and arithmetic:
        yield Rate("memory, read", bandwidth / 1e9, "GB/s", limit="a limit")
        yield Rate("float32 arithmetic", (floats or 0) / 1e9, "GFLOP/s", limit="a limit")
        yield Rate("bfloat16 dot products", arithmetic / 1e9, "GFLOP/s", limit="a limit")
        yield Rate("int8 dot products", (limits.int8(threads) or 0) / 1e9, "GOP/s", limit="a limit")
    for count in batches:
        rate = decode_rate(network, count, seconds=seconds)
        read = step_bytes(network, CONTEXT) * rate / count if count == 1 else 0.0
        share = read / bandwidth if bandwidth and count == 1 else None
        yield Rate(f"decode, {count} at once", rate, "tokens/s", share, "memory" if share else "")
    yield Rate(f"a prompt of {PROMPT} places", prompt_seconds(network, seconds=seconds), "s")
    taken = encode_seconds(network, view, seconds)
    exact = network.deep_encoder.newline.dtype == torch.float32
    most, kind = (floats, "float32 arithmetic") if exact else (arithmetic, "bfloat16 arithmetic")
    share = encode_operations(network, view) / taken / most if most else None
    yield Rate(f"encode a {view} px view", taken, "s", share, kind if share else "")


def decode_rate(network: Network, count: int, context: int = CONTEXT, seconds: float = SECONDS) -> float:
    """Tokens per second of `count` sequences that are written side by side."""
    decoder = network.config.decoder
    each = blocks_for(context + 1)
    shape = decoder.layers, decoder.kv_heads, decoder.head_dim, count * each
    pool = KVPool(*shape, network.dtype, network.device)
    for store in (pool.keys, pool.values):
        store.zero_()
    spans = [Span(pool.take(each), context, context + 1) for _ in range(count)]
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        ids = torch.randint(0, decoder.vocab_size, (count,), generator=generator)
        network.step(network.decoder.embed(ids.to(network.device)), Batch(pool, spans), list(range(count)))

    return count / best_seconds(step, network.device, seconds)


def prompt_seconds(network: Network, places: int = PROMPT, *, given: bool = True, seconds: float = SECONDS) -> float:
    """Seconds for so many places of one prompt; given: as a prompt is read, else as what was written is read again."""
    decoder = network.config.decoder
    shape = decoder.layers, decoder.kv_heads, decoder.head_dim, blocks_for(places)
    pool = KVPool(*shape, network.dtype, network.device)
    spans = [Span(pool.take(blocks_for(places)), 0, places, places if given else 0)]
    ids = torch.randint(0, decoder.vocab_size, (places,), generator=torch.Generator().manual_seed(0))
    x = network.decoder.embed(ids.to(network.device))
    return best_seconds(lambda: network.step(x, Batch(pool, spans), [places - 1]), network.device, seconds)


def encode_seconds(network: Network, view: int, seconds: float = SECONDS) -> float:
    """Seconds for one square view of `view` pixels a side."""
    at = network.deep_encoder.newline
    pixels = torch.zeros(1, 3, view, view, dtype=at.dtype, device=at.device)
    return best_seconds(lambda: network.deep_encoder(pixels), network.device, seconds)


def best_seconds(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The shortest of several runs: on a shared machine the others only make it longer."""
    times: list[float] = []
    with torch.inference_mode():
        work()
        began = time.perf_counter()
        while len(times) < _LEAST_ROUNDS or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return min(times)


def step_bytes(network: Network, context: int) -> int:
    """Bytes that one new token reads: every active weight once, and the keys and values before it.

    Of a head that is found by its coarse form, only that; the few hundred of its rows that are read then are left out.
    """
    decoder, config = network.decoder, network.config.decoder
    total = head_bytes(network)
    for layer in decoder.layers:
        total += stored(layer)
        ffn = layer.ffn
        if isinstance(ffn, MixtureOfExperts):
            idle = config.experts - config.experts_per_token
            total -= idle * stored(ffn.experts[0])
    cached = 2 * config.layers * config.kv_heads * config.head_dim * context * network.dtype.itemsize
    return total + cached


def head_bytes(network: Network) -> int:
    """Bytes of the head that a greedy reader reads whole."""
    coarse = network.fast.coarse if isinstance(network.fast, CompiledDecoder) else None
    return coarse.nbytes if coarse else stored(network.decoder.head)


def stored(module: nn.Module) -> int:
    """Bytes of a module's weights as they lie in memory; packed ones count what they are packed into."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def encode_operations(network: Network, view: int) -> float:
    """Operations (a multiply-add is two) of one view through SAM, its compressor, CLIP and the projector."""
    sam, clip = network.config.sam, network.config.clip
    patches, side = (view // 16) ** 2, view // 16
    tokens = (view // 64) ** 2
    layer = 12 * sam.width**2 * patches  # qkv, out and the two of the MLP
    windows = (-side // sam.window) ** 2 * sam.window**4  # rounded up: those at the edge are filled
    spread = [patches**2 if index in sam.global_layers else windows for index in range(sam.layers)]
    first, second = sam.compressor_widths
    neck = patches * sam.neck_width * (sam.width + 9 * sam.neck_width)
    compress = patches / 4 * 9 * sam.neck_width * first + tokens * 9 * first * second
    close = patches * 3 * 16**2 * sam.width + sam.layers * layer + 2 * sam.width * sum(spread) + neck + compress
    clip_layer = tokens * (4 * clip.width**2 + 2 * clip.width * clip.mlp_width) + 2 * clip.width * tokens**2
    wide = clip.layers * clip_layer + tokens * (clip.width + second) * network.config.decoder.width
    return 2 * (close + wide)
