"""Who reads the pages of a job - a model here, servers, or a cluster - and what tells one from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dsocr.jobs.cache import Recipe, identify, make_recipe, recipe_of
from dsocr.jobs.cluster import Cluster
from dsocr.model.checkpoint import find_checkpoint
from dsocr.model.quantised import BITS
from dsocr.ocr import OCR, Options, choose_device
from dsocr.remote import RemoteReader

Reader: TypeAlias = OCR | RemoteReader | Cluster


@dataclass(frozen=True)
class About:
    """What is told of a reader in the manifest, and its recipe."""

    model: str
    device: str
    checkpoint: str
    recipe: Recipe


def about(reader: Reader, model: str, device: str, dtype: str, options: Options) -> About:
    """Who this reader is; model, device and dtype as they were asked for."""
    if isinstance(reader, RemoteReader):
        # Its weights cannot be looked at: what a server says of itself is all that tells it from another.
        checkpoint = f"{reader.model} at {reader.name}"
        rules = sorted({rule for server in reader.servers for rule in server.rules})
        recipe = recipe_of(options, checkpoint, f"remote, {' or '.join(rules)}", reader.places)
        return About(reader.model, reader.name, checkpoint, recipe)
    folder = find_checkpoint(model)
    checkpoint = identify(folder)
    if isinstance(reader, Cluster):
        numbers = dtype if dtype in BITS else reader.tells.numbers
        return About(model, reader.name, checkpoint, recipe_of(options, checkpoint, numbers, reader.tells.places))
    where = choose_device(device)
    return About(model, where.type, checkpoint, make_recipe(folder, options, checkpoint, dtype, where))
