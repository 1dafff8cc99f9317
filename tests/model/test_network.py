"""The whole network on a micro checkpoint: what the published code answered, and what holds for every prompt."""

from __future__ import annotations

from copy import copy
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from micro import HERE, PAGE, error, load_goldens, load_micro
from PIL import Image

from dsocr.model.decoder import causal_attention
from dsocr.pages import MODES, get_mode
from dsocr.pages.tiling import make_views
from dsocr.views import Views

NETWORK = load_micro()
GOLDENS = load_goldens()
TINY = GOLDENS["tiny"]
TEXT = [13, 73, 117, 104, 104, 35, 82, 70, 85, 49]
SIDES = st.integers(1, 3)
TILES = st.integers(0, 3)


class GrowingBatch:
    """The next rows of one sequence, its keys and values joined anew in each pass."""

    def __init__(self):
        self.positions, self.stored = torch.arange(0), {}

    def advance(self, count):
        start = int(self.positions[-1]) + 1 if len(self.positions) else 0
        self.positions = torch.arange(start, start + count)

    def attend(self, layer, q, k, v):
        keys, values = self.stored.get(layer, (k[:, :, :0], v[:, :, :0]))
        self.stored[layer] = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
        return causal_attention(q, *self.stored[layer])


@cache
def rows_of(mode):
    return NETWORK.encode(make_views(PAGE, get_mode(mode)))


def drawn_views(overview_side, tile_side, rows, columns):
    """Views of noise, their sides counted in tokens."""
    generator = torch.Generator().manual_seed(overview_side * 1000 + tile_side * 100 + rows * 10 + columns)
    overview = torch.rand(3, 64 * overview_side, 64 * overview_side, generator=generator)
    tiles = torch.rand(rows * columns, 3, 64 * tile_side, 64 * tile_side, generator=generator)
    return Views(overview * 2 - 1, tiles * 2 - 1, rows, columns)


@pytest.mark.parametrize("mode", GOLDENS)
def test_vision_rows_are_those_of_the_published_code(mode):
    torch.testing.assert_close(rows_of(mode), GOLDENS[mode]["vision_tokens"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", GOLDENS)
def test_logits_are_those_of_the_published_code(mode):
    golden = GOLDENS[mode]
    logits = NETWORK(golden["input_ids"], rows_of(mode))[0]
    torch.testing.assert_close(logits[-1], golden["logits_last"], atol=1e-4, rtol=0)
    assert torch.equal(logits.argmax(-1), golden["argmax_all"])


@pytest.mark.parametrize("mode", sorted(MODES.keys() - {"gundam-m"}))  # which reads an A4 page below
def test_every_mode_gives_as_many_rows_as_its_layout_counts(mode):
    views = make_views(Image.new("RGB", (1100, 500), "white"), MODES[mode])
    assert NETWORK.encode(views).shape == (len(views.layout), 48)


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, TILES, TILES)
def test_every_grid_gives_as_many_rows_as_its_layout_counts(overview_side, tile_side, rows, columns):
    views = drawn_views(overview_side, tile_side, rows, columns)
    assert NETWORK.encode(views).shape == (len(views.layout), 48)


def test_gundam_m_reads_an_a4_page():
    views = make_views(PAGE.resize((1240, 1754)), get_mode("gundam-m"))
    assert (views.columns, views.rows) == (2, 3)
    assert len(views.layout) == 421 + 16 * 3 * (16 * 2 + 1) == 2005
    rows = NETWORK.encode(views)
    assert len(rows) == 2005
    ids = torch.tensor([[0] + [300] * len(rows) + TEXT], device=HERE)
    assert NETWORK.embed(ids, rows).isfinite().all()


def test_the_overview_of_a_page_does_not_depend_on_its_tiles():
    views = drawn_views(2, 1, 2, 3)
    alone = Views(views.overview, views.tiles[:0], rows=0, columns=0)
    torch.testing.assert_close(NETWORK.encode(views)[2 * 4 :], NETWORK.encode(alone))


@pytest.mark.parametrize("surplus", [-1, 1])
def test_rows_and_image_places_must_be_equal_in_number(surplus):
    rows = torch.zeros(73 + surplus, 48, device=HERE)
    with pytest.raises(ValueError, match=f"the prompt has 73 image places, the vision rows are {73 + surplus}"):
        NETWORK(TINY["input_ids"], rows)


def test_image_places_without_rows_and_rows_without_places_are_refused():
    with pytest.raises(ValueError, match="73 image places, the vision rows are 0"):
        NETWORK(TINY["input_ids"])
    with pytest.raises(ValueError, match="0 image places, the vision rows are 1"):
        NETWORK(torch.tensor([TEXT], device=HERE), torch.zeros(1, 48, device=HERE))


def test_a_prompt_of_text_alone_needs_no_rows():
    ids = torch.tensor([[0, *TEXT]], device=HERE)
    logits = NETWORK(ids)
    assert (logits.shape, logits.dtype) == ((1, 11, 320), torch.float32)
    assert torch.equal(logits, NETWORK(ids, torch.zeros(0, 48, device=HERE)))


def test_rows_fill_the_image_places_in_order_and_nothing_else_changes():
    ids = torch.tensor([[0, 300, 300, 13, 300, 73]], device=HERE)
    rows = torch.arange(3.0, device=HERE)[:, None].expand(3, 48)
    embedded = NETWORK.embed(ids, rows)[0]
    assert torch.equal(embedded[[1, 2, 4]], rows)
    assert torch.equal(embedded[[0, 3, 5]], NETWORK.decoder.embed(ids[0, [0, 3, 5]]))


def test_two_images_in_one_prompt_are_told_apart_by_their_order():
    ids = torch.tensor([[0] + [300] * 73 + [13] + [300] * 111 + TEXT], device=HERE)
    tiny, small = rows_of("tiny"), rows_of("small")
    right, wrong = NETWORK(ids, torch.cat([tiny, small]))[0], NETWORK(ids, torch.cat([small, tiny]))[0]
    assert not torch.equal(right.argmax(-1), wrong.argmax(-1))
    # What is read of the first page does not depend on the second.
    torch.testing.assert_close(right[:74], NETWORK(TINY["input_ids"], tiny)[0, :74], atol=1e-5, rtol=1e-5)


def test_prompts_of_one_length_read_the_same_alone_and_in_a_batch():
    ids = TINY["input_ids"]
    other = torch.cat([ids[:, :1], ids[:, -10:], ids[:, 1:-10]], dim=1)
    first, second = rows_of("tiny"), rows_of("tiny").flip(0)
    together = NETWORK(torch.cat([ids, other]), torch.cat([first, second]))
    alone = torch.cat([NETWORK(ids, first), NETWORK(other, second)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, 83), max_size=6))
def test_a_prompt_read_in_pieces_gives_the_logits_of_the_whole(cuts):
    ids, rows = TINY["input_ids"], rows_of("tiny")
    whole, embedded = NETWORK(ids, rows)[0], NETWORK.embed(ids, rows)[0]
    batch = GrowingBatch()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 84], strict=True):
        batch.advance(end - start)
        logits = NETWORK.step(embedded[start:end], batch, [end - start - 1])
        torch.testing.assert_close(logits, whole[end - 1 : end], atol=1e-5, rtol=1e-5)


def test_only_the_wanted_rows_of_a_step_have_logits():
    embedded = NETWORK.embed(TINY["input_ids"], rows_of("tiny"))[0]
    for wanted in ([], [83], [3, 80], list(range(84))):
        batch = GrowingBatch()
        batch.advance(84)
        logits = NETWORK.step(embedded, batch, wanted)
        torch.testing.assert_close(logits, NETWORK(TINY["input_ids"], rows_of("tiny"))[0, wanted])


def test_a_fast_decoder_is_asked_where_there_is_one():
    class Fast:
        def step(self, x, batch, wanted):
            return x, batch, wanted

    other = copy(NETWORK)
    other.fast = Fast()
    x = torch.zeros(2, 48)
    assert other.step(x, "batch", [1]) == (x, "batch", [1])
    assert NETWORK.fast is None


def test_pages_encoded_together_have_the_rows_of_each_alone():
    pages = [make_views(PAGE, get_mode(mode)) for mode in ("tiny", "small", "tiny")]
    for rows, views in zip(NETWORK.encode_many(pages), pages, strict=True):
        torch.testing.assert_close(rows, NETWORK.encode(views), atol=1e-5, rtol=1e-5)


def test_a_network_in_bfloat16_reads_nearly_the_same():
    half = load_micro(dtype=None)
    rows = half.encode(make_views(PAGE, get_mode("tiny")))
    assert rows.dtype == torch.bfloat16
    assert error(half(TINY["input_ids"], rows)[0, -1], TINY["logits_last"]) < 0.1
