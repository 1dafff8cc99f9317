"""Pages that were read before, found by their pixels and all else that decides what is written about them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from dsocr.document import BLANK, LOOPED, OK, STATUSES, TRUNCATED, Transcript
from dsocr.engine.request import Sampling
from dsocr.jobs.whole import is_leftover, write_whole
from dsocr.model.config import read_config
from dsocr.model.quantised import BITS
from dsocr.model.weights import weight_files
from dsocr.ocr import Options, choose_dtype, describe_dtype
from dsocr.pages import Page
from dsocr.pages.sideways import TURNS
from dsocr.reading import Known, Reading
from dsocr.rescue import is_unsure
from dsocr.version import __version__

DEFAULT_LIMIT = "2G"
# Options that have done their work once there are pixels.
_OPENING = ("pages", "dpi", "password", "max_pixels", "apart", "web")
_LARGE = 2**28  # bytes; larger weights are told apart without reading them all
_HEADER = 2**20  # bytes
_DISK_BLOCK = 4096  # bytes; a small file takes as much
_AFTER_TRIM = 0.9  # of the limit, so that a full cache is not trimmed for every page


@dataclass(frozen=True)
class Recipe:
    """One way to read: all that decides what is written about a page but its pixels, as a text.

    A page that took max_tokens, or as many places as the model has, cannot become longer. reads_again: whether pages
    that the model is unsure of are.
    """

    text: str
    max_tokens: int | None
    places: int
    reads_again: bool = False

    def is_final(self, reading: Reading, transcript: Transcript) -> bool:
        """Whether the page would come out the same again; one that failed, or had too little memory, might not."""
        if self.reads_again and transcript.attempts == 1 and is_unsure(transcript.status, transcript.confidence):
            return False  # it could not be
        if transcript.status != TRUNCATED:
            return transcript.status in (OK, BLANK, LOOPED)
        places = reading.stats.prompt_places + reading.tokens
        return places >= self.places or (self.max_tokens is not None and reading.tokens >= self.max_tokens)


class Cache:
    """A folder of read pages that stays below its limit; those that nobody asked for longest go first.

    It is the shelf for the readings of one recipe. Where its disk fails, pages are read and not kept.
    """

    def __init__(self, root: Path, recipe: Recipe, limit: int, note: Callable[[str], None]) -> None:
        """limit: bytes on the disk; note: told once if the disk fails."""
        self._folder, self._recipe, self._limit, self._note = root / "pages", recipe, limit, note
        self._added = 0  # bytes since the last trim
        self._works = True
        with suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)  # what was read may be nobody else's business

    def key(self, page: Page) -> str:
        """What tells this page from all others that are read in this way."""
        digest = hashlib.sha256(self._recipe.text.encode())
        digest.update("{} {}\n".format(*page.size).encode())
        digest.update(page.image.convert("RGB").tobytes())
        digest.update((page.text or "").encode("utf-8", "replace"))  # which may stand in for what was not readable
        return digest.hexdigest()

    def find(self, key: str) -> Known | None:
        """What is known of a page; a damaged file is as good as none."""
        path = self._path(key)
        try:
            known = _from_json(path.read_text(encoding="ascii"))
            os.utime(path)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return known

    def keep(self, reading: Reading) -> None:
        """Keep a page, unless it might be read better another time."""
        transcript = reading.transcript(keep_image=False)
        if not (self._works and self._recipe.is_final(reading, transcript)):
            return
        known = Known(
            transcript.raw,
            transcript.status,
            transcript.reason,
            reading.tokens,
            transcript.attempts,
            transcript.rotated,
            transcript.confidence,
        )
        content = json.dumps(asdict(known)).encode("ascii")
        try:
            write_whole(self._path(reading.key), content)
        except OSError as error:
            self._works = False
            self._note(f"pages are not kept: {self._folder} cannot be written ({error.strerror or error})")
            return
        self._added += _on_disk(len(content))
        if self._added > self._limit // 10:
            self._trim()

    def close(self) -> None:
        """Make it small enough, if something was added."""
        if self._added:
            self._trim()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _trim(self) -> None:
        self._added = 0
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*/*"):
            with suppress(OSError):  # another run may trim at the same time
                about = path.stat()
                if is_leftover(path):
                    path.unlink()
                elif path.suffix == ".json":
                    found.append((about.st_mtime, _on_disk(about.st_size), path))
        size = sum(each for _, each, _ in found)
        wanted = self._limit if size <= self._limit else _AFTER_TRIM * self._limit
        for _, each, path in sorted(found):
            if size <= wanted:
                break
            with suppress(OSError):
                path.unlink()
            size -= each


def reads_the_same(options: Options) -> bool:
    """Whether a page read again would come out the same: not where every token is drawn by lot."""
    sampling = options.sampling or Sampling()
    return sampling.temperature == 0 or sampling.seed is not None


def make_recipe(folder: Path, options: Options, checkpoint: str, dtype: str, device: torch.device) -> Recipe:
    """The recipe of a reader with the checkpoint in a folder, found without loading it.

    checkpoint: as `identify` has it; dtype: as it was asked for.
    """
    numbers = dtype if dtype in BITS else describe_dtype(choose_dtype(dtype, device, folder), device)
    return recipe_of(options, checkpoint, numbers, read_config(folder).decoder.max_positions)


def recipe_of(options: Options, checkpoint: str, numbers: str, places: int) -> Recipe:
    """The recipe of any reader. numbers: the kind that it computes with; places: most that a page and its text take."""
    sampling = options.sampling or Sampling()
    asked = {each.name: getattr(options, each.name) for each in fields(options) if each.name not in _OPENING}
    form = {
        "version": __version__,
        "checkpoint": checkpoint,
        "numbers": numbers,
        "asked": asked | {"prompt": options.full_prompt(), "sampling": asdict(sampling)},
    }
    text = json.dumps(form, sort_keys=True, default=sorted) + "\n"
    return Recipe(text, sampling.max_tokens, places, options.reads_again)


def identify(folder: Path) -> str:
    """A short name for what is in a checkpoint's folder: other weights, another name.

    Large weights are told by their size, their time and their list of tensors, all else by every byte.
    """
    digest = hashlib.sha256()
    names = [folder / "config.json", folder / "tokenizer.json", *weight_files(folder)]
    for path in (path for path in names if path.exists()):
        about = path.stat()
        large = about.st_size > _LARGE
        with open(path, "rb") as file:
            digest.update(f"{about.st_size} {about.st_mtime_ns if large else ''}\n".encode())
            digest.update(file.read(_HEADER if large else -1))
    return digest.hexdigest()[:16]


def _from_json(text: str) -> Known:
    """ValueError, TypeError or RecursionError for what is none."""
    form = json.loads(text)
    known = Known(**form)
    whole = isinstance(known.raw, str) and known.status in STATUSES and isinstance(known.reason, (str, type(None)))
    counted = all(isinstance(number, int) for number in (known.tokens, known.attempts))
    told = isinstance(known.confidence, (float, type(None)))
    if not (whole and counted and told and known.rotated in TURNS):
        raise ValueError("not a page")
    return known


def _on_disk(size: int) -> int:
    return -(-size // _DISK_BLOCK) * _DISK_BLOCK
