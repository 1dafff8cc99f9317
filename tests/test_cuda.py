"""What holds on a CPU holds on a GPU: the goldens in float32, half precision near them, alone as together.

Where there is a GPU, tests/model/test_network.py and tests/engine run on it as well.
"""

from __future__ import annotations

from copy import deepcopy
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from micro import PAGE, error, load_goldens, load_micro
from torch.testing import assert_close

import dsocr
from dsocr.engine.engine import Engine
from dsocr.engine.request import Request, Sampling
from dsocr.model import sam
from dsocr.model.deep_encoder import PIXELS_AT_ONCE, DeepEncoder
from dsocr.model.sam import RelativeAttention, cut_windows
from dsocr.model.speed import GRAPHS, speed_up
from dsocr.model.tokenizer import Tokenizer
from dsocr.pages import get_mode
from dsocr.pages.tiling import make_views
from dsocr.views import Views

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
    pytest.mark.filterwarnings("default"),  # of what a GPU's libraries have to say
]
CUDA = torch.device("cuda")
NANO_PAGES = sorted((Path(__file__).parent / "golden" / "nano").glob("*.png"))
MODES = ("tiny", "small", "gundam")
FREE = Sampling(max_tokens=16, ngram_rule="none")
NO_PAIR_TWICE = Sampling(max_tokens=48, ngram_rule="huggingface", ngram_size=2)
TOKENIZER = Tokenizer(str(files("dsocr") / "nano" / "tokenizer.json"))


@pytest.fixture(scope="module")
def goldens():
    return load_goldens(CUDA)


@pytest.fixture(scope="module", params=["plain", "at speed"])
def network(request):
    return made(request.param, torch.float32)


@pytest.fixture(autouse=True, scope="module")
def graphs():
    """At speed means with graphs, which have to be asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(GRAPHS, "1")
        yield


def made(form, dtype):
    network = load_micro(CUDA, dtype)
    if form == "at speed":
        speed_up(network)
    return network


def views(mode, turned=False):
    return make_views(PAGE.rotate(180) if turned else PAGE, get_mode(mode))


def request(goldens, mode, sampling=FREE, turned=False):
    return Request(tuple(goldens[mode]["input_ids"][0].tolist()), (views(mode, turned),), sampling)


@pytest.mark.parametrize("mode", MODES)
def test_rows_and_logits_are_those_of_the_published_code(network, goldens, mode):
    golden = goldens[mode]
    rows = network.encode(views(mode))
    assert_close(rows, golden["vision_tokens"], atol=1e-4, rtol=0)
    logits = network(golden["input_ids"], rows)[0]
    assert_close(logits[-1], golden["logits_last"], atol=1e-4, rtol=0)
    assert torch.equal(logits.argmax(-1), golden["argmax_all"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "sampling"), [("greedy", FREE), ("greedy_ngram2", NO_PAIR_TWICE)])
def test_a_page_is_read_as_the_published_code_reads_it(network, goldens, mode, name, sampling):
    generation = Engine(network, TOKENIZER).generate(request(goldens, mode, sampling))
    assert generation.ids == tuple(goldens[mode][name].tolist())


def test_pages_streamed_together_are_those_read_whole_and_alone(network, goldens):
    asked = [(mode, sampling, turned) for mode in MODES for sampling in (FREE, NO_PAIR_TWICE) for turned in (0, 1)]
    alone = [Engine(network, TOKENIZER, batch=1).generate(request(goldens, *each)) for each in asked]
    engine = Engine(network, TOKENIZER, batch=5, prefill_chunk=40)
    streams = [engine.stream(request(goldens, *each)) for each in asked]
    for stream, whole in zip(streams, alone, strict=True):
        deltas = list(stream)
        assert tuple(index for delta in deltas for index in delta.ids) == whole.ids
        assert "".join(delta.text for delta in deltas) == whole.text == TOKENIZER.decode(whole.ids)


def test_rows_of_float32_are_exactly_those_of_a_page_alone(network):
    pages = [views("small"), views("gundam"), views("tiny"), views("small", turned=True)]
    for rows, page in zip(network.encode_many(pages), pages, strict=True):
        assert torch.equal(rows, network.encode(page))


# Near ties apart: products of other sizes are summed in another order, which float32 sees in its last bits.
def test_logits_of_float32_are_nearly_the_same_in_any_company(goldens):
    network, golden = made("plain", torch.float32), goldens["tiny"]
    ids, rows = golden["input_ids"], golden["vision_tokens"]
    together = network(ids.expand(7, -1), rows.repeat(7, 1))
    assert_close(together, network(ids, rows).expand(7, -1, -1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
@pytest.mark.parametrize("form", ["plain", "at speed"])
def test_half_precision_is_near_float32(goldens, form, dtype, most, mode):
    half, golden = made(form, dtype), goldens[mode]
    rows = half.encode(views(mode))
    assert rows.dtype == dtype
    assert error(rows, golden["vision_tokens"]) < most
    assert error(half(golden["input_ids"], rows)[0, -1], golden["logits_last"]) < most


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_views_in_half_precision_are_seen_alike_alone_and_together(dtype, monkeypatch):
    encoder = made("at speed", dtype).deep_encoder
    pages = [views("gundam"), views("small"), views("gundam", turned=True), views("tiny")]
    alone = [encoder.read(page) for page in pages]
    for together in (10**9, 3 * 640**2):
        monkeypatch.setitem(PIXELS_AT_ONCE, "cuda", together)
        for rows, page in zip(encoder.read_many(pages), alone, strict=True):
            assert error(rows, page) < 0.03


def test_views_may_lie_on_the_gpu_already():
    encoder, page = made("at speed", torch.float32).deep_encoder, views("gundam")
    there = Views(page.overview.to(CUDA), page.tiles.to(CUDA), page.rows, page.columns)
    assert torch.equal(encoder.read(there), encoder.read(page))


def released_attention(side, dtype, *, window):
    """SAM's attention at its full size, and a sheet for it."""
    generator = torch.Generator(CUDA).manual_seed(0)

    def drawn(*shape):
        return torch.randn(shape, generator=generator, device=CUDA)

    attention = RelativeAttention(768, heads=12, side=14 if window else 64).to(CUDA)
    for parameter in attention.parameters():
        parameter.data = drawn(*parameter.shape) * (parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1)
    sheet = drawn(2, side, side, 768)
    return attention.to(dtype), (cut_windows(sheet, 14) if window else sheet).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("side", "window"), [(40, True), (64, True), (22, False), (40, False), (64, False)])
def test_fused_attention_is_the_plain_one_and_learns_the_same(side, window, dtype, monkeypatch):
    attention, sheet = released_attention(side, dtype, window=window)
    sheet.requires_grad_(True)

    def learnt(layer, sheet, fused):
        monkeypatch.setattr(sam, "_fuses", lambda q: fused)
        attended = layer(sheet)
        return [attended, *torch.autograd.grad(attended.float().square().sum() * 10, [sheet, *layer.parameters()])]

    exact = learnt(deepcopy(attention).float(), sheet.float(), fused=False)
    for fused, plain in zip(learnt(attention, sheet, fused=True), exact, strict=True):
        assert error(fused, plain) < (1e-4 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("learning", [False, True])
def test_no_matrix_of_all_places_is_ever_held(learning):
    attention, sheet = released_attention(64, torch.bfloat16, window=False)
    one = sheet[:1].requires_grad_(learning)
    with torch.set_grad_enabled(learning):
        for _ in range(2):  # the first time, libraries take what they need
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            attended = attention(one)
            if learning:
                attended.sum().backward()
            most = torch.cuda.max_memory_allocated() - before
            del attended
    assert most < 12 * 4096 * 4096  # half of what one such matrix takes


def test_a_network_learns_under_autocast_as_in_float32():
    """One step's gradients of the encoder, weights in float32."""
    encoder: DeepEncoder = load_micro(CUDA).deep_encoder.requires_grad_(True)
    pixels = views("small").overview[None].to(CUDA, torch.float32)
    learning = [each for name, each in encoder.named_parameters() if name.endswith("weight") and "unused" not in name]

    def gradients(dtype):
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            loss = encoder(pixels).float().square().mean()
        return torch.cat([each.flatten() for each in torch.autograd.grad(loss, learning)])

    assert error(gradients(torch.bfloat16), gradients(torch.float32)) < 0.1


@pytest.mark.parametrize("page", NANO_PAGES[:1], ids=lambda page: page.stem)
def test_nano_reads_a_page_to_the_same_text_as_on_the_cpu(page):
    here, there = (dsocr.load("nano", device, "float32").read(page).transcripts for device in ("cuda", "cpu"))
    assert [(each.status, each.raw) for each in here] == [(each.status, each.raw) for each in there]
