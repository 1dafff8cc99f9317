"""The decoder as graphs reads as its plain twin does; without a GPU, its kernels run in Triton's interpreter."""

# ruff: noqa: E402 - Triton asks for its interpreter when it is loaded

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if HERE.type == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is loaded
pytest.importorskip("triton", exc_type=ImportError)

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import KVPool
from dsocr.engine.sampling import windowed_ngram_ban
from dsocr.kernels import paged_attention
from dsocr.kernels.greedy import Ban
from dsocr.model.config import read_config
from dsocr.model.graphed import Burst, GraphedDecoder, graph_decoder
from dsocr.model.weights import load_network

pytestmark = pytest.mark.filterwarnings("default")
GOLDEN = Path(__file__).parents[1] / "golden" / "micro"
BLOCKS = ([5, 2, 9], [7, 0], [1, 3])
# Texts alone, together, beside prompts, and prompts only.
PASSES = (((0, 4), (63, 66)), ((4, 5), (66, 67)), ((5, 6), None, (0, 3)), (None, (67, 68)))
MOST = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
dtypes = pytest.mark.parametrize("dtype", list(MOST) if HERE.type == "cuda" else [torch.float32], ids=str)
needs_gpu = pytest.mark.skipif(HERE.type == "cpu", reason="there is no GPU here")


@pytest.fixture(autouse=True)
def few_pieces(monkeypatch):
    if HERE.type == "cpu":  # each takes its time in the interpreter
        monkeypatch.setattr(paged_attention, "splits_for", lambda rows: 2)


def load(dtype):
    return load_network(GOLDEN, read_config(GOLDEN), 300, device=HERE, dtype=dtype)


def pool_of(network, blocks=10):
    config = network.config.decoder
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, blocks, network.dtype, HERE)
    generator = torch.Generator().manual_seed(2)
    for store in (pool.keys, pool.values):
        store.copy_(torch.randn(store.shape, generator=generator))
    return pool


def read(network, passes):
    """The logits of the last row of each text after each pass, and the keys and values at the end."""
    pool, logits = pool_of(network), []
    generator = torch.Generator().manual_seed(1)
    for spans in passes:
        held = [Span(blocks, *span) for blocks, span in zip(BLOCKS, spans, strict=False) if span]
        lengths = [span.end - span.start for span in held]
        x = torch.randn(sum(lengths), network.config.decoder.width, generator=generator) * 0.5
        wanted = [sum(lengths[: number + 1]) - 1 for number in range(len(held))]
        with torch.inference_mode():
            logits.append(network.step(x.to(HERE, network.dtype), Batch(pool, held), wanted).cpu())
    return torch.cat(logits), pool.keys.float(), pool.values.float()


def relative_error(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@dtypes
def test_graphs_read_as_the_plain_decoder_reads(dtype):
    network = load(dtype)
    plain = read(network, PASSES)
    network.fast = GraphedDecoder(network.decoder)
    for found, wanted in zip(read(network, PASSES), plain, strict=True):
        assert relative_error(found, wanted) < MOST[dtype]


@dtypes
def test_a_plain_decoder_reads_the_same_once_its_weights_are_joined(dtype):
    network = load(dtype)
    plain, fast = read(network, PASSES), GraphedDecoder(network.decoder)
    assert fast is not None
    assert all(torch.equal(*pair) for pair in zip(read(network, PASSES), plain, strict=True))


@dtypes
def test_a_burst_writes_what_single_steps_write(dtype):
    network, steps, ban, spared = load(dtype), 2 if HERE.type == "cpu" else 40, Ban(2, 3, 9), frozenset({4})
    network.fast = GraphedDecoder(network.decoder)
    texts, starts = [[11], [7, 12]], [62, 5]
    tables = torch.tensor([[5, 2], [7, 0]], dtype=torch.int32)
    burst = Burst([text[-1] for text in texts], starts, tables, [list(text) for text in texts], ban, spared)
    found = network.fast.greedy(pool_of(network), burst, steps).tolist()
    pool = pool_of(network)
    for step in range(steps):
        spans = [Span(b, s + step, s + step + 1) for b, s in zip(BLOCKS, starts, strict=False)]
        with torch.inference_mode():
            x = network.embed(torch.tensor([[text[-1] for text in texts]]), None)[0]
            logits = network.step(x, Batch(pool, spans), [0, 1])
        logits = logits.clone()
        logits[:, ban.never] = float("-inf")
        for row, text in zip(logits, texts, strict=True):
            row[list(windowed_ngram_ban(text, ban.ngram, ban.window, spared))] = float("-inf")
            text.append(int(row.argmax()))
    assert found == [texts[0][1:], texts[1][2:]]


@needs_gpu
@dtypes
def test_texts_that_come_and_go_are_read_as_the_plain_decoder_reads_them(dtype):
    generator, passes = torch.Generator().manual_seed(3), []
    ends = [0, 0, 0]
    for _ in range(40):
        spans = []
        for number, end in enumerate(ends):
            count = int(torch.randint(0, 4, (), generator=generator))
            spans.append((end, end + count) if count and end + count < 128 else None)
            ends[number] += count if spans[-1] else 0
        if any(spans):
            passes.append(spans)
    network = load(dtype)
    plain = read(network, passes)
    network.fast = graph_decoder(network.decoder)
    for found, wanted in zip(read(network, passes), plain, strict=True):
        assert relative_error(found, wanted) < MOST[dtype]


@needs_gpu
def test_a_full_graph_and_more_rows_than_that_are_read():
    network = load(torch.float32)
    pool, rows = pool_of(network, 300), 270
    spans = [Span([row], 10, 11) for row in range(rows)]
    x = torch.randn(rows, network.config.decoder.width, device=HERE)
    with torch.inference_mode():
        plain = network.step(x, Batch(pool, spans), range(rows))
        network.fast = graph_decoder(network.decoder)
        assert relative_error(network.step(x, Batch(pool, spans), range(rows)), plain) < 1e-4


def test_a_decoder_on_a_cpu_is_left_to_others():
    assert HERE.type == "cuda" or graph_decoder(load(torch.float32).decoder) is None
