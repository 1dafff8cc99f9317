"""Batches hold the text and say where it stands."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from dsocr.pages.modes import get_mode
from dsocr.training.batches import cell_labels, crop_batch, draw_page, note_batch, pair_batch, slipped
from dsocr.training.recipe import Stage
from dsocr.training.text import ALPHABET
from dsocr.views import PIXELS_PER_TOKEN


def notes(shop, seed: int, count: int, mode: str = "small", **wrong):
    rng, stage = random.Random(seed), Stage("read", 1, 1e-3, "notes", **wrong)
    drawn = [draw_page(rng, shop, None, False) for _ in range(count)]
    return note_batch(rng, shop, drawn, get_mode(mode), [slipped(rng, shop, note, stage) for note in drawn])


def test_the_targets_are_the_text_and_the_places_hold_it(shop):
    page = notes(shop, 3, 2)
    for row in range(2):
        written = [index for index in page.targets[row].tolist() if index >= 0]
        assert written[-1] == shop.tokenizer.eos
        assert shop.tokenizer.decode(written[:-1]).strip()
        held = page.ids[row][page.print.places[row][page.print.known[row]]]
        assert (held == shop.tokenizer.image).all()
        assert page.print.known[row].sum() == len(written) - 1


def test_a_pair_is_its_text_behind_as_many_places_as_its_tokens(shop):
    batch = pair_batch(random.Random(0), shop, shop.pairs[:3], get_mode("tiny"))
    for pair, ids, targets, layout in zip(shop.pairs, batch.ids, batch.targets, batch.layouts, strict=False):
        written = targets[targets >= 0].tolist()
        assert shop.tokenizer.decode(written[:-1]) == pair.text
        assert (ids == shop.tokenizer.image).sum() == len(layout)


def test_a_large_page_is_shown_with_its_tiles(shop):
    large = replace(shop.pairs[0], image=shop.pairs[0].open().resize((1300, 700)))
    batch = pair_batch(random.Random(0), shop, [shop.pairs[1], large], get_mode("gundam"))
    assert batch.overviews.shape == (2, 3, 1024, 1024)
    assert [layout.rows * layout.columns for layout in batch.layouts] == [0, len(batch.tiles)]
    assert len(batch.tiles) >= 2


def test_texts_are_filled_up_to_a_multiple(shop):
    batch = pair_batch(random.Random(0), replace(shop, even=64), shop.pairs[:2], get_mode("tiny"))
    assert batch.ids.shape[1] % 64 == 0


def test_labels_stand_where_the_characters_do(shop):
    batch = crop_batch(random.Random(5), shop, 4, 128, (1.0, 1.5))
    assert batch.pixels.shape == (4, 3, 128, 128)
    assert batch.labels.shape == (4, 8, 16)
    assert 0.05 < (batch.labels > 0).float().mean() < 0.9


def test_ink_wins_over_a_space_in_one_cell():
    centres = torch.tensor([[4.0, 8.0], [5.0, 8.0]]).numpy()
    assert cell_labels("a ", centres, 16)[0, 0] == ALPHABET.index("a") + 1


def test_no_text_begins_before_the_place_that_is_said(shop):
    batch = notes(shop, 1, 2, "tiny")
    side = 512 // PIXELS_PER_TOKEN
    assert batch.text_from >= side * (side + 1) + 1
    assert (batch.targets[:, : batch.text_from] == -100).all()


def test_what_comes_next_is_right_after_slips_too(shop):
    page = notes(shop, 4, 3, corrupted=0.1, slips=0.05)
    for row in range(3):
        known = page.print.known[row]
        assert (page.targets[row][known] >= 0).all()
        held = page.ids[row][page.print.places[row][known]]
        assert (held == shop.tokenizer.image).all()
        ends = page.targets[row][(page.targets[row] >= 0) & ~known]
        assert ends.tolist() == [shop.tokenizer.eos]
