"""The compiled decoder reads as its plain twin does, whatever the weights are kept in."""

from __future__ import annotations

import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import BLOCK, KVPool
from dsocr.kernels.library import core
from dsocr.model.compiled import compile_decoder
from dsocr.model.config import read_config
from dsocr.model.network import Network
from dsocr.model.quantised import QuantisedLinear, TwelveBitLinear, can_shorten, quantise, shorten
from dsocr.model.weights import load_network, save_network

GOLDEN = Path(__file__).parents[1] / "golden" / "micro"
NANO = Path(__file__).parents[2] / "dsocr" / "nano"
CPU = torch.device("cpu")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
needs_core = pytest.mark.skipif(core() is None, reason="the core is not compiled here")
# Blocks out of order and beyond the first, so that every table is looked up.
BLOCKS = ([5, 2, 9], [7, 0])
PASSES = (((0, 90), (0, 3)), ((90, 91), (3, 70)), ((91, 130), (70, 71)))


@pytest.fixture(params=[GOLDEN, NANO, None], ids=["micro", "nano", "wide heads"])
def network(request):
    """The first follows the release in not renormalising its routers, the second does not; the third in its heads."""
    if request.param is None:
        return wide_heads()
    return load_network(request.param, read_config(request.param), 2, device=CPU, dtype=torch.float32)


def wide_heads():
    """A decoder with heads of the released width, two of which share keys, and two that are left over by fours."""
    config = read_config(GOLDEN)
    config = replace(config, decoder=replace(config.decoder, width=768, heads=6, kv_heads=3))
    torch.manual_seed(0)
    network = Network(config, 2).eval().requires_grad_(False)
    for name, tensor in network.decoder.named_parameters():
        if tensor.ndim > 1:
            tensor.normal_(std=0.02 if "embed" in name else tensor.shape[-1] ** -0.5)
    return network


def read(network, dtype=torch.float32, prompt=0):
    """The logits of both sequences' last rows after each pass, and what was stored on the way.

    prompt: so many places of each are told to be given, not written.
    """
    config = network.config.decoder
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, 10, dtype, CPU)
    for store in (pool.keys, pool.values):
        store.zero_()
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(130, config.width, generator=generator).to(dtype) * 0.5 for _ in BLOCKS]
    logits = []
    for spans in PASSES:
        x = torch.cat([row[start:end] for row, (start, end) in zip(rows, spans, strict=True)])
        batch = Batch(pool, [Span(blocks, *span, prompt) for blocks, span in zip(BLOCKS, spans, strict=True)])
        with torch.inference_mode():
            logits.append(network.step(x, batch, [spans[0][1] - spans[0][0] - 1, len(x) - 1]))
    return torch.stack(logits), pool.keys.float(), pool.values.float()


def relative_error(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@needs_core
def test_float32_is_read_as_the_plain_decoder_reads_it(network):
    plain = read(network)
    network.fast = compile_decoder(network.decoder)
    for found, wanted in zip(read(network), plain, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@needs_core
@pytest.mark.parametrize("prompt", [0, 100])
@pytest.mark.parametrize(("form", "most"), [("bfloat16", 0.05), ("int8", 0.08), ("int4", 0.15)])
def test_fewer_bits_are_read_nearly_as_the_plain_decoder_reads_them(network, form, most, prompt):
    exact, dtype = read(network)[0], torch.float32
    if form == "bfloat16":
        network, dtype = network.to(torch.bfloat16), torch.bfloat16
    else:
        quantise(network.decoder, {"int8": 8, "int4": 4}[form])
    plain = read(network, dtype)[0]
    network.fast = compile_decoder(network.decoder)
    fast = read(network, dtype, prompt)[0]
    # The core rounds activations too, which the plain twin of packed weights does not.
    assert relative_error(fast, plain) < most
    assert relative_error(fast, exact) < relative_error(plain, exact) + most


@needs_core
@pytest.mark.parametrize("prompt", [0, 100])
def test_twelve_bits_are_read_as_bfloat16_to_the_last_bit(network, prompt):
    network = network.to(torch.bfloat16)
    network.fast = compile_decoder(network.decoder)
    whole = read(network, torch.bfloat16, prompt)
    plain = network.decoder.head(torch.ones(1, network.config.decoder.width, dtype=torch.bfloat16))
    shorten(network.decoder)
    assert isinstance(network.decoder.head, TwelveBitLinear)
    short = network.decoder.head(torch.ones(1, network.config.decoder.width, dtype=torch.bfloat16))
    assert torch.equal(short, plain)
    network.fast = compile_decoder(network.decoder)
    for found, wanted in zip(read(network, torch.bfloat16, prompt), whole, strict=True):
        assert torch.equal(found, wanted)


@needs_core
@pytest.mark.parametrize("form", ["float32", "bfloat16", "int8"])
def test_a_row_is_the_same_to_the_last_bit_with_any_others_and_any_threads(library, network, form, monkeypatch):
    monkeypatch.setattr("dsocr.kernels.decoder_core._PRODUCTS_A_THREAD", 1)
    if form == "bfloat16":
        network = network.to(torch.bfloat16)
    elif form == "int8":
        quantise(network.decoder, 8)
    network.fast = compile_decoder(network.decoder)
    config, count = network.config.decoder, 11
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, count, network.dtype, CPU)
    x = torch.randn(count, config.width, generator=torch.Generator().manual_seed(1)).to(network.dtype)
    spans = [Span([block], 0, 1, prompt=block % 2) for block in range(count)]
    alone = torch.cat([network.step(x[row : row + 1], Batch(pool, [spans[row]]), [0]) for row in range(count)])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(network.step(x, Batch(pool, spans), list(range(count))), alone)
    finally:
        torch.set_num_threads(before)


@needs_core
@pytest.mark.parametrize("form", ["float32", "bfloat16", "twelve", "int8"])
@pytest.mark.parametrize(
    ("prompt", "few", "others"), [(100, (1, 32, 65), (33, 99, 101)), (300, (47, 257), (255, 290, 301))]
)
def test_a_prompt_is_the_same_to_the_last_bit_in_any_pieces(network, form, prompt, few, others, monkeypatch):
    monkeypatch.setattr("dsocr.kernels.decoder_core._PRODUCTS_A_THREAD", 1)
    if form in ("bfloat16", "twelve"):
        network = network.to(torch.bfloat16)
    if form == "twelve":
        shorten(network.decoder)
    elif form == "int8":
        quantise(network.decoder, 8)
    network.fast = compile_decoder(network.decoder)
    config, end = network.config.decoder, prompt + 10
    tables = [5, 2, 9, 11, 4], [7, 0, 10, 3, 6]
    x = torch.randn(2, end, config.width, generator=torch.Generator().manual_seed(1)).to(network.dtype)

    def told(cuts, beside, threads):
        """The logits of the last row and all that was stored, with another text's rows beside each piece or not."""
        torch.set_num_threads(threads)
        pool = KVPool(config.layers, config.kv_heads, config.head_dim, 12, network.dtype, CPU)
        for store in (pool.keys, pool.values):
            store.zero_()
        for start, stop in zip((0, *cuts), (*cuts, end), strict=True):
            spans, rows = [Span(tables[0], start, stop, prompt)], [x[0, start:stop]]
            if beside:
                spans.append(Span(tables[1], start, stop, prompt // 2))
                rows.append(x[1, start:stop])
            logits = network.step(torch.cat(rows), Batch(pool, spans), [stop - start - 1])
        own = sorted(tables[0])
        return logits, pool.keys[:, own], pool.values[:, own]

    before = torch.get_num_threads()
    try:
        whole = told((), False, 1)
        for cuts, beside, threads in ((few, False, 1), (others, True, 2), ((), True, 3)):
            for one, other in zip(told(cuts, beside, threads), whole, strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)


class TestShorteningOnTheWay:
    @pytest.fixture
    def often_asked(self, monkeypatch):
        """Any decoder is large, a pass makes it worth while, and each matrix is a piece of the work."""
        monkeypatch.setattr("dsocr.model.quantised._CACHED", 0)
        monkeypatch.setattr("dsocr.model.quantised._AT_A_TIME", 0)
        monkeypatch.setattr("dsocr.model.quantised.level", lambda: "avx512")
        monkeypatch.setattr("dsocr.model.compiled._WORTH_IT", 1)

    def mapped(self, tmp_path):
        network = load_network(NANO, read_config(NANO), 2, device=CPU, dtype=torch.float32)
        save_network(network, tmp_path / "model.safetensors")
        return load_network(tmp_path, network.config, 2, device=CPU, dtype=None)

    def matrices(self, network):
        return [module for module in network.decoder.modules() if hasattr(module, "packed")]

    @needs_core
    @needs_linux
    def test_a_decoder_that_is_mapped_from_a_file_gets_shorter_while_it_reads(self, tmp_path, often_asked):
        network = self.mapped(tmp_path)
        network.fast = compile_decoder(network.decoder)
        whole, short = read(network, torch.bfloat16), []  # three passes, two of them with work
        assert len(self.matrices(network)) == 2
        for _ in range(40):
            again = read(network, torch.bfloat16)
            short.append(len(self.matrices(network)))
            for found, wanted in zip(again, whole, strict=True):
                assert torch.equal(found, wanted)
        assert short[0] == 5
        assert short[-1] == short[-2] > 50

    @needs_core
    def test_weights_in_memory_of_their_own_are_left(self, tmp_path, often_asked):
        network = self.mapped(tmp_path)
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()
        network.fast = compile_decoder(network.decoder)
        read(network, torch.bfloat16)
        assert not self.matrices(network)

    @needs_core
    def test_weights_that_are_being_trained_are_left(self, tmp_path, often_asked):
        network = self.mapped(tmp_path)
        network.decoder.norm.weight.requires_grad_(True)
        network.fast = compile_decoder(network.decoder)
        read(network, torch.bfloat16)
        assert not self.matrices(network)

    @needs_core
    @needs_linux
    def test_a_matrix_that_is_no_bfloat16_stays_as_it_is(self, tmp_path, often_asked):
        network = self.mapped(tmp_path)
        network.decoder.head.weight.data = network.decoder.head.weight.float()
        wanted = network.decoder.head.weight.clone()
        shorten(network.decoder)
        assert torch.equal(network.decoder.head.weight, wanted)
        assert self.matrices(network)

    @needs_core
    @needs_linux
    def test_where_packing_fails_reading_goes_on(self, tmp_path, often_asked, monkeypatch):
        def fails(weight, memory):
            raise RuntimeError("not enough memory: you tried to allocate 5 bytes")

        network = self.mapped(tmp_path)
        network.fast = compile_decoder(network.decoder)
        wanted = read(network, torch.bfloat16)
        network = self.mapped(tmp_path)
        network.fast = compile_decoder(network.decoder)
        monkeypatch.setattr("dsocr.model.quantised.pack_twelve", fails)
        for found, exact in zip(read(network, torch.bfloat16), wanted, strict=True):
            assert torch.equal(found, exact)
        assert not self.matrices(network)

    @needs_core
    def test_where_memory_is_short_nothing_is_taken(self, tmp_path, often_asked, monkeypatch):
        monkeypatch.setattr("dsocr.model.quantised.available_memory", lambda device: 1000)
        network = self.mapped(tmp_path)
        network.fast = compile_decoder(network.decoder)
        read(network, torch.bfloat16)
        assert not self.matrices(network)

    def test_a_small_decoder_or_one_in_float32_is_not_worth_it(self, network, monkeypatch):
        monkeypatch.setattr("dsocr.model.quantised.level", lambda: "avx512")
        assert not can_shorten(network.to(torch.bfloat16).decoder)
        monkeypatch.setattr("dsocr.model.quantised._CACHED", 0)
        assert can_shorten(network.decoder)
        assert not can_shorten(network.float().decoder)


def test_a_quantised_decoder_keeps_its_routers_and_embeddings(network):
    before = deepcopy(network.decoder)
    quantise(network.decoder, 8)
    kept = dict(network.decoder.named_parameters())
    assert {name.split(".")[-2] for name in kept} <= {"embed", "router", "norm", "attention_norm", "ffn_norm"}
    assert all(torch.equal(tensor, before.get_parameter(name)) for name, tensor in kept.items())
    assert isinstance(network.decoder.head, QuantisedLinear)


def test_weights_that_the_core_cannot_multiply_with_are_left_to_the_plain_decoder(network):
    assert compile_decoder(network.to(torch.float16).decoder) is None


def test_the_tables_of_the_test_cross_blocks():
    assert max(end for spans in PASSES for _, end in spans) > 2 * BLOCK
