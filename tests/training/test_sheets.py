"""Whole drawn pages: their boxes, what is written about them, and what their batches say of where things stand."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dsocr.document.grounding import parse
from dsocr.pages.tiling import make_views
from dsocr.training.sheets.batches import look_at, sheet_batch
from dsocr.training.sheets.kinds import KINDS
from dsocr.training.sheets.page import Plan, draw_sheet, write_down
from dsocr.training.sheets.supply import supply
from dsocr.training.text import ALPHABET

PLAN = Plan(620, 640, 24, 400, structure=0.5)


def sheets(shop, count: int, plan: Plan = PLAN):
    return [draw_sheet(random.Random(seed), shop.source, shop.fonts, plan) for seed in range(count)]


def batch_of(shop, kind: str, count: int = 1, seed: int = 1, **more):
    asked = {"weights": None, "characters": KINDS[kind].characters[1], "corrupted": 0.0, "slips": 0.0} | more
    return sheet_batch(random.Random(seed), shop, kind, count, **asked)


def test_all_ink_of_a_page_lies_in_its_boxes(shop):
    for sheet in sheets(shop, 12, replace(PLAN, structure=0.0)):
        paper = np.median(sheet.image)
        inked = np.abs(sheet.image.astype(int) - paper) > 90
        covered = np.zeros_like(inked)
        for block in sheet.blocks:
            left, top, right, bottom = block.box
            covered[max(0, int(top) - 2) : int(bottom) + 3, max(0, int(left) - 4) : int(right) + 5] = True
        assert inked.sum() > 500
        assert (inked & ~covered).sum() < 0.01 * inked.sum()


def test_what_is_written_under_the_document_prompt_is_read_back_as_blocks(shop):
    labels = set()
    for sheet in sheets(shop, 30):
        raw = "".join(piece.text for piece in write_down(sheet, "document"))
        parsed = parse(raw)
        found = [block for block in parsed if block.boxes]
        assert [block.label for block in found] == [block.label for block in sheet.blocks]
        labels |= {block.label for block in sheet.blocks}
        for block, drawn in zip(found, sheet.blocks, strict=True):
            box = block.boxes[0]
            told = np.array([box.left, box.top, box.right, box.bottom]) / 999 * np.array([620, 640, 620, 640])
            assert np.abs(told - np.clip(drawn.box, 0, 640)).max() < 21
    assert labels == {"title", "sub_title", "text", "table"}


def test_places_are_one_for_each_character(shop):
    for sheet in sheets(shop, 10):
        for prompt in ("document", "ocr", "free"):
            for piece in write_down(sheet, prompt):
                assert piece.places is None or piece.places.shape == (len(piece.text), 2)


def test_free_text_has_no_tags_and_ocr_has_a_box_for_each_line(shop):
    sheet = draw_sheet(random.Random(5), shop.source, shop.fonts, replace(PLAN, structure=0.0))
    free, ocr = ("".join(piece.text for piece in write_down(sheet, prompt)) for prompt in ("free", "ocr"))
    assert "<|" not in free
    assert ocr.count("<|det|>") == len(free.split("\n")) - free.count("\n\n")


@pytest.mark.parametrize("kind", list(KINDS))
def test_pages_are_looked_at_as_pictures_are(shop, kind):
    batch = batch_of(shop, kind, 2)
    overviews, tiles = look_at(batch, torch.float32)
    number = 0
    for page, (wide, high), overview in zip(batch.paper, batch.sizes.tolist(), overviews, strict=True):
        views = make_views(Image.fromarray(page[:high, :wide].numpy()).convert("RGB"), batch.mode)
        assert (views.columns, views.rows) == batch.grid
        pairs = [(views.overview, overview)]
        pairs += [(tile, tiles[number + at]) for at, tile in enumerate(views.tiles)]
        number += len(views.tiles)
        for wanted, seen in pairs:
            apart = (wanted.float() - seen).abs() * 127.5  # levels of 256
            assert apart.mean() < 0.2
            assert apart.max() < 24  # Pillow rounds between its two passes


@pytest.mark.parametrize("kind", ["small", "notes", "sheets"])
def test_the_place_that_is_asked_for_holds_the_next_character(shop, kind):
    batch = batch_of(shop, kind, 3)
    labels, columns = batch.labels, batch.grid[0] or 1
    side = labels.shape[1] // 4  # tokens in a row of a view
    across = columns * side
    right = total = 0
    for page in range(3):
        own = labels.reshape(3, -1, *labels.shape[1:])[page]
        for asked, place, cell in zip(batch.asked[page], batch.places[page], batch.cells[page], strict=True):
            character = batch.targets[page, asked].item()
            if asked < 0 or character > 255:
                continue
            row, column = divmod(place.item() - 1, across + 1)
            assert column < across
            view = own[row // side * columns + column // side]
            y, x = row % side * 4 + cell.item() // 8, column % side * 8 + cell.item() % 8
            letter = shop.tokenizer.decode([character])
            if letter in ALPHABET and letter.isalnum():
                total += 1
                right += ALPHABET.index(letter) + 1 == view[y, x].item()
    assert total > 60
    # Numbers of boxes stand at corners, and narrow letters share a cell.
    assert right > 0.75 * total


def test_a_row_that_is_too_short_for_its_text_is_cut(shop):
    batch = batch_of(shop, "small", 4)
    assert batch.ids.shape == batch.targets.shape == (4, KINDS["small"].places)
    known = batch.targets >= 0
    ends = known.int().argmax(1)
    assert (ends >= len(batch.layout)).all()
    # What is not corrupted is given as it was asked for.
    after = known[:, :-1]
    assert torch.equal(batch.ids[:, 1:][after & known[:, 1:]], batch.targets[:, :-1][after & known[:, 1:]])


def test_other_processes_draw_the_same(shop):
    drawn = supply(lambda number: batch_of(shop, "small", 1, seed=number), 3, processes=2)
    for number in range(3, 7):
        batch, wanted = next(drawn), batch_of(shop, "small", 1, seed=number)
        assert torch.equal(batch.paper, wanted.paper)
        assert torch.equal(batch.ids, wanted.ids)
