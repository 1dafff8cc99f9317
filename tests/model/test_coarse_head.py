"""Of a large head only the likeliest rows are multiplied; which they are, a coarse one tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import KVPool
from dsocr.kernels.coarse_head import coarse_head
from dsocr.kernels.library import core
from dsocr.kernels.quantise import pack, unpack
from dsocr.model.compiled import compile_decoder
from dsocr.model.config import read_config
from dsocr.model.network import Network
from dsocr.model.quantised import quantise

MICRO = Path(__file__).parents[1] / "golden" / "micro"
VOCAB = 33_003  # no multiple of the rows that are read side by side
SURE = 8  # so many of the likeliest are exact, or all are
ROWS = 24
needs_core = pytest.mark.skipif(core() is None, reason="the core is not compiled here")


def network_of(form, vocab=VOCAB):
    """A small decoder with a large head of random weights."""
    config = read_config(MICRO)
    config = replace(config, decoder=replace(config.decoder, vocab_size=vocab))
    torch.manual_seed(0)
    network = Network(config, 2).eval().requires_grad_(False).to(torch.bfloat16)
    for name, tensor in network.decoder.named_parameters():
        if tensor.ndim > 1:
            tensor.normal_(std=0.02 if "embed" in name else tensor.shape[-1] ** -0.5)
    if form in ("int8", "int4"):
        quantise(network.decoder, int(form[3:]))
    elif form == "float32":
        network.float()
    return network


def sped_up(form, change=None):
    """Such a network with its fast twin; change: what is done to its head before that."""
    network = network_of(form)
    if change:
        change(network.decoder.head.weight)
    network.fast = compile_decoder(network.decoder)
    if form == "twelve":
        network.fast.shorten()
    return network


def inputs(network, rows=ROWS):
    width = network.config.decoder.width
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(1)).to(network.dtype)


def read(network, x, exact):
    """The logits of rows that are each a text of its own, by whether all of each are wanted."""
    config = network.config.decoder
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, len(x), network.dtype, torch.device("cpu"))
    spans = [Span([block], 0, 1, exact=each) for block, each in enumerate(exact)]
    return network.step(x, Batch(pool, spans), list(range(len(x))))


@needs_core
@pytest.mark.parametrize("form", ["bfloat16", "twelve", "int8"])
def test_the_likeliest_ids_are_those_of_the_head_itself(library, form):
    network = sped_up(form)
    x = inputs(network)
    found, whole = read(network, x, [False] * ROWS), read(network, x, [True] * ROWS)
    assert torch.equal(found.argmax(-1), whole.argmax(-1))
    for one, other in zip(found.topk(SURE), whole.topk(SURE), strict=True):
        assert torch.equal(one, other)
    assert ((found == whole).float().mean(-1) < 0.1).all()  # the others are not even asked
    assert float((found - whole).std() / whole.std()) < 0.1
    assert float((found.logsumexp(-1) - whole.logsumexp(-1)).abs().max()) < 0.01


@needs_core
@pytest.mark.parametrize("form", ["bfloat16", "int8"])
def test_where_all_logits_are_wanted_they_are_what_the_head_itself_gives(form, monkeypatch):
    network = sped_up(form)
    x = inputs(network)
    drawn = read(network, x, [True] * ROWS)
    monkeypatch.setattr("dsocr.model.compiled.coarse_head", lambda head: None)
    network.fast = compile_decoder(network.decoder)
    assert torch.equal(read(network, x, [False] * ROWS), drawn)


@needs_core
@pytest.mark.parametrize("form", ["bfloat16", "twelve", "int8"])
@pytest.mark.parametrize("alike", [0.0, 3.0])
def test_all_kinds_of_rows_read_side_by_side_as_alone(library, form, alike, monkeypatch):
    monkeypatch.setattr("dsocr.kernels.decoder_core._PRODUCTS_A_THREAD", 1)
    network = sped_up(form, None if form == "int8" else lean(alike))
    x, exact = inputs(network), [row % 3 == 0 for row in range(ROWS)]
    alone = torch.cat([read(network, x[row : row + 1], exact[row : row + 1]) for row in range(ROWS)])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(read(network, x, exact), alone)
    finally:
        torch.set_num_threads(before)


def lean(share):
    """All rows of a head lean one way, by so many times their own length."""

    def change(head):
        way = torch.randn(1, head.shape[1], generator=torch.Generator().manual_seed(2)) * head.shape[1] ** -0.5
        head.add_(share * way)

    return change


@needs_core
@pytest.mark.parametrize("form", ["bfloat16", "twelve"])
@pytest.mark.parametrize("share", [0.5, 1.0, 2.0, 4.0])
def test_the_likeliest_id_of_rows_that_lean_one_way_is_that_of_the_head_itself(form, share):
    network = sped_up(form, lean(share))
    x = inputs(network)
    found, whole = read(network, x, [False] * ROWS), read(network, x, [True] * ROWS)
    assert torch.equal(found.argmax(-1), whole.argmax(-1))


@needs_core
def test_a_row_that_is_far_longer_than_all_others_is_never_passed_over():
    def change(head):
        head[[7, 20_001, VOCAB - 1]] *= 10

    network = sped_up("bfloat16", change)
    x = inputs(network, 1500)
    found, whole = (read(network, x, [exact] * len(x)) for exact in (False, True))
    assert torch.equal(found.argmax(-1), whole.argmax(-1))
    assert 50 < int((whole.argmax(-1)[:, None] == torch.tensor([7, 20_001, VOCAB - 1])).sum()) < 1450


@needs_core
def test_where_none_stands_out_all_are_asked():
    def change(head):
        head.copy_(head[:1] + 1e-3 * torch.randn(head.shape, generator=torch.Generator().manual_seed(2)))

    network = sped_up("bfloat16", change)
    x = inputs(network)
    assert torch.equal(read(network, x, [False] * ROWS), read(network, x, [True] * ROWS))


@needs_core
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(library, broken):
    network = sped_up("bfloat16")
    x = inputs(network)
    x[3, 5] = broken
    found = read(network, x, [False] * ROWS)
    assert found[3].isnan().all()
    assert found[[0, 1, 2, 4]].isfinite().all()


@needs_core
@pytest.mark.parametrize("form", ["float32", "int4"])
def test_a_head_that_is_precise_or_has_four_bits_itself_is_asked_whole(form):
    network = sped_up(form)
    x = inputs(network)
    assert torch.equal(read(network, x, [False] * ROWS), read(network, x, [True] * ROWS))


def test_it_is_made_of_what_the_head_is_kept_in():
    weight = (torch.randn(VOCAB, 200, generator=torch.Generator().manual_seed(3)) * 0.03).bfloat16()
    wanted = pack(weight, 4)
    found = coarse_head(weight)
    assert torch.equal(found.packed.data, wanted.data)
    assert torch.equal(found.packed.scales, wanted.scales)
    off = (unpack(wanted) - weight).norm(dim=1) / found.blur
    assert float(off.std() / off.mean()) < 0.1  # the same number for all rows
    rounded = coarse_head(pack(weight, 8))
    assert float((unpack(rounded.packed) - weight).norm() / weight.norm()) < 0.1
    assert coarse_head(weight[:30_000]) is None
    assert coarse_head(weight.float()) is None


@needs_core
def test_where_there_is_no_memory_for_it_the_head_is_read_whole(monkeypatch):
    def fails(head):
        raise RuntimeError("not enough memory: you tried to allocate 5 bytes")

    monkeypatch.setattr("dsocr.model.compiled.coarse_head", fails)
    network = sped_up("bfloat16")
    assert network.fast.coarse is None
    x = inputs(network)
    assert torch.equal(read(network, x, [False] * ROWS), read(network, x, [True] * ROWS))
