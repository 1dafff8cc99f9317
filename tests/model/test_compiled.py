"""The compiled decoder reads as its plain twin does, whatever the weights are kept in."""

from __future__ import annotations

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
from dsocr.model.quantised import QuantisedLinear, quantise
from dsocr.model.weights import load_network

GOLDEN = Path(__file__).parents[1] / "golden" / "micro"
NANO = Path(__file__).parents[2] / "dsocr" / "nano"
CPU = torch.device("cpu")
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


def read(network, dtype=torch.float32):
    """The logits of both sequences' last rows after each pass, and what was stored on the way."""
    config = network.config.decoder
    pool = KVPool(config.layers, config.kv_heads, config.head_dim, 10, dtype, CPU)
    for store in (pool.keys, pool.values):
        store.zero_()
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(130, config.width, generator=generator).to(dtype) * 0.5 for _ in BLOCKS]
    logits = []
    for spans in PASSES:
        x = torch.cat([row[start:end] for row, (start, end) in zip(rows, spans, strict=True)])
        batch = Batch(pool, [Span(blocks, *span) for blocks, span in zip(BLOCKS, spans, strict=True)])
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
@pytest.mark.parametrize(("form", "most"), [("bfloat16", 0.05), ("int8", 0.08), ("int4", 0.15)])
def test_fewer_bits_are_read_nearly_as_the_plain_decoder_reads_them(network, form, most):
    exact, dtype = read(network)[0], torch.float32
    if form == "bfloat16":
        network, dtype = network.to(torch.bfloat16), torch.bfloat16
    else:
        quantise(network.decoder, {"int8": 8, "int4": 4}[form])
    plain = read(network, dtype)[0]
    network.fast = compile_decoder(network.decoder)
    fast = read(network, dtype)[0]
    # The core rounds activations too, which the plain twin of packed weights does not.
    assert relative_error(fast, plain) < most
    assert relative_error(fast, exact) < relative_error(plain, exact) + most


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
