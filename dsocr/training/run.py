"""A whole training run: from a recipe to a folder with a checkpoint, its log and its curves."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from PIL import Image

from dsocr.errors import InputError
from dsocr.model.checkpoint import find_checkpoint
from dsocr.model.config import read_config
from dsocr.model.network import Network
from dsocr.model.tokenizer import Tokenizer
from dsocr.model.weights import load_network, stored_bytes
from dsocr.ocr import choose_device
from dsocr.pages import get_mode
from dsocr.reading import is_out_of_memory
from dsocr.training.batches import Workshop, draw_page
from dsocr.training.drawing import choose_fonts
from dsocr.training.held_out import measure
from dsocr.training.log import Log
from dsocr.training.loop import Trainer, new_network, worker
from dsocr.training.pairs import Pair, check_lengths, check_pairs, deal, find_pairs
from dsocr.training.recipe import NOTHING, Recipe
from dsocr.training.text import collect_text
from dsocr.training.tokenizer_file import build_byte_tokenizer

_SMALL = 256 * 2**20  # bytes; a larger checkpoint keeps its own dtype under pairs that learn
_EVEN = 64  # on CUDA texts are filled up to a multiple of so many ids: few shapes, no new memory for each


def train(recipe: Recipe, say: Callable[[str], None]) -> None:
    """Train as the recipe says, in its folder, which then is a whole checkpoint; a run that was killed goes on.

    Raises InputError for what cannot be used, and where memory runs out.
    """
    recipe.check()
    device = choose_device(recipe.device)
    try:
        open_trainer(recipe, device, say).run()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"training does not fit into the memory of {device}: take a smaller batch with accumulate, "
            "lora, or a smaller mode"
        ) from None


def open_trainer(recipe: Recipe, device: torch.device, say: Callable[[str], None]) -> Trainer:
    """The trainer of a recipe; its folder is made, with all of the checkpoint but the weights."""
    pairs, kept = _find_pairs(recipe)
    tokenizer, open_network = _start(recipe, device)
    check_pairs((*pairs, *kept), tokenizer)
    shop = Workshop(tokenizer, pairs=pairs, prompts=recipe.prompts, even=_EVEN if device.type == "cuda" else 1)
    if recipe.draws:
        shop = replace(shop, source=collect_text(), fonts=choose_fonts(recipe.fonts))
    if not pairs:
        kept = kept or _kept_notes(recipe, shop)
    network = open_network()
    for mode in {name for stage in recipe.stage for name in stage.modes if stage.show == "pairs"}:
        check_lengths(shop.pairs, tokenizer, get_mode(mode), network.config.decoder.max_positions)
    if any(stage.guide for stage in recipe.stage) and network.config.decoder.kv_heads < network.config.decoder.heads:
        raise InputError(f"{recipe.start} shares keys between heads: its gaze cannot be guided; set guide = 0")
    mode = next(iter(recipe.stage[-1].modes))
    read = partial(measure, tokenizer=tokenizer, pages=kept, mode=mode, prompt=recipe.prompts[0])
    log = Log(recipe.folder, say, silent=worker() > 0)
    return Trainer(network, recipe, shop, log, read if kept else None)


def _start(recipe: Recipe, device: torch.device) -> tuple[Tokenizer, Callable[[], Network]]:
    """The tokenizer, and a way to the network that training starts from; the folder gets their files."""
    where = find_checkpoint(recipe.shape if recipe.start == NOTHING else recipe.start)
    config = read_config(where)
    own = where / "tokenizer.json"
    if not worker():
        recipe.folder.mkdir(parents=True, exist_ok=True)
        _copy(where / "config.json", recipe.folder)
        if own.exists():
            _copy(own, recipe.folder)
        elif recipe.start == NOTHING:
            build_byte_tokenizer(recipe.folder / "tokenizer.json")
        else:
            raise InputError(f"{where} has no tokenizer.json: what it writes cannot be taught")
    if dist.is_initialized():
        dist.barrier()
    tokenizer = Tokenizer(recipe.folder / "tokenizer.json")
    if recipe.start == NOTHING:
        if len(tokenizer) > config.decoder.vocab_size:
            raise InputError(
                f"{where} has {config.decoder.vocab_size} rows for the {len(tokenizer)} tokens of its tokenizer"
            )
        torch.manual_seed(recipe.seed)
        return tokenizer, partial(new_network, config, tokenizer.image, device)
    # Few steps of training are lost in bfloat16's rounding: what learns is float32.
    kept = None if recipe.lora and stored_bytes(where) > _SMALL else torch.float32
    return tokenizer, partial(load_network, where, config, tokenizer.image, device=device, dtype=kept)


def _copy(file: Path, folder: Path) -> None:
    if file.resolve() != (folder / file.name).resolve():
        (folder / file.name).write_bytes(file.read_bytes())


def _find_pairs(recipe: Recipe) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Those to learn from, and those that are kept from training."""
    pairs = find_pairs(recipe.pairs) if recipe.pairs else ()
    if recipe.held_out or not pairs:
        return pairs, find_pairs(recipe.held_out) if recipe.held_out else ()
    if len(pairs) <= recipe.keep_back:
        raise InputError(
            f"{recipe.pairs} has {len(pairs)} pairs, and {recipe.keep_back} are kept from training: "
            "add pages, name others to measure with (--held-out), or set keep_back in a recipe (--config)"
        )
    order = [deal(pairs, recipe.seed, place) for place in range(len(pairs))]
    return tuple(order[recipe.keep_back :]), tuple(order[: recipe.keep_back])


def _kept_notes(recipe: Recipe, shop: Workshop) -> tuple[Pair, ...]:
    """Drawn pages that no stage shows."""
    rng, text = random.Random(f"{recipe.seed} kept"), recipe.stage[-1].text
    notes = [draw_page(rng, shop, text, False) for _ in range(recipe.keep_back)]
    return tuple(Pair(Image.fromarray(note.image).convert("RGB"), note.text) for note in notes)
