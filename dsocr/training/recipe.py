"""What a training run is asked for: where it starts, what it is shown, and the stages that it goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dsocr.errors import InputError
from dsocr.pages.modes import get_mode
from dsocr.prompts import IMAGE, resolve_prompt
from dsocr.training.sheets.kinds import KINDS

NOTHING = "nothing"
_MOST_SLIPS = 0.05
Shown = Literal["crops", "notes", "pairs", "sheets"]
Precision = Literal["auto", "bfloat16", "float32"]


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    show: pairs (your pages), sheets (whole drawn pages in every mode), notes (small drawn pages), or crops
    (drawn sheets of dense print, for the encoder alone). A step is of `accumulate` batches, a batch of `batch` pages of
    the smallest view, of larger ones as many as have the same area. modes: how pages are looked at, by their share;
    crops: the sides of crops in pixels and their shares.

    What learns: sam, encoder (CLIP and the projector), decoder; small_decoder: in the decoder's place a small dense
    one of that many layers, which stays behind: the paper's first stage. balance: the weight of the routers' balance
    loss. decay_from: the share of the steps after which the learning rate falls to a twentieth.

    minutes: where given, the stage takes so long, however many steps that are, and steps is the most; the learning
    rate then falls by the clock.

    seen: how many times a page is shown, on average; the last `pool` batches may come again, and what SAM, which must
    rest then, makes of them is kept.

    Of drawn pages only. stretch: how far print in crops is enlarged, least and most. styles: the share of batches
    with bold and slanted print too. text: the mixture to print. full: the chance of a batch of pages printed from
    top to bottom. corrupted: the share of text given to the decoder with a wrong character; slips: the chance at each
    character that the reader before it left one out, or put one in (training/slips.py); rolled: the share of batches
    for which it is given what it has written about the pages itself (training/rollouts.py). dense, guide: weights of
    the training-only losses (cells; where to read next). forced: the share of pages whose gaze is forced, falling to
    zero half-way.

    Sheets: kinds, by their shares (training/sheets/kinds.py); places: a batch is as many pages as have so many places
    of the prompt together; full: the chance of a batch of pages with about as much text as their kind can have;
    fade_from: the share of the steps after which the training-only losses fall to nothing. Matrices are moved by Muon,
    all else by AdamW.
    """

    name: str
    steps: int
    learning_rate: float
    show: Shown = "pairs"
    batch: int = 1
    accumulate: int = 1
    modes: Mapping[str, float] = field(default_factory=lambda: {"gundam": 1.0})
    sam: bool = False
    encoder: bool = True
    decoder: bool = True
    small_decoder: int = 0
    balance: float = 0.01
    decay_from: float = 0.6
    seen: int = 1
    pool: int = 700
    crops: Mapping[int, float] = field(default_factory=lambda: {192: 1.0})
    stretch: tuple[float, float] = (1.0, 2.0)
    styles: float = 1.0
    text: Mapping[str, float] | None = None
    full: float = 0.0
    corrupted: float = 0.0
    slips: float = 0.0
    rolled: float = 0.0
    dense: float = 0.0
    guide: float = 0.0
    forced: float = 0.0
    fade_from: float = 1.0
    minutes: float = 0.0
    kinds: Mapping[str, float] = field(default_factory=lambda: {"small": 1.0})
    places: int = 1

    @property
    def draws(self) -> bool:
        """Whether its pages are drawn."""
        return self.show != "pairs"

    def check(self) -> None:
        """InputError for what cannot be done."""
        for name in ("steps", "batch", "accumulate", "seen", "pool"):
            _at_least(self, name, 1)
        if self.learning_rate <= 0:
            raise InputError(f"{self._said}: learning_rate is {self.learning_rate}; it must be more than 0")
        for mode in self.modes:
            get_mode(mode)
        if not self.modes or not self.crops or min(*self.modes.values(), *self.crops.values()) <= 0:
            raise InputError(f"{self._said}: modes and crops need shares above 0")
        if any(side % 64 for side in self.crops):
            raise InputError(f"{self._said}: the sides of crops must be multiples of 64 pixels")
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown or not self.kinds or min(self.kinds.values()) <= 0:
            said = f"kind {unknown[0]!r} is unknown" if unknown else "kinds need shares above 0"
            raise InputError(f"{self._said}: {said}; known: {', '.join(KINDS)}")
        if not (self.sam or self.encoder or self.decoder):
            raise InputError(f"{self._said}: nothing learns; set sam, encoder or decoder")
        if self.show == "crops" and (self.decoder or self.seen > 1):
            raise InputError(f"{self._said}: crops have no text to write and are new each time; decoder false, seen 1")
        if self.seen > 1 and self.sam and self.show != "sheets":
            raise InputError(f"{self._said}: pages are seen again while SAM rests; seen = 1 or sam = false")
        if self.show == "pairs" and (self.dense or self.guide or self.forced or self.slips or self.rolled):
            raise InputError(f"{self._said}: dense, guide, forced, slips and rolled need drawn pages: set them to 0")
        if not 0 <= self.slips <= _MOST_SLIPS:
            raise InputError(f"{self._said}: slips is {self.slips}; it must be from 0 to {_MOST_SLIPS}")

    @property
    def _said(self) -> str:
        return f"stage {self.name!r}"


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    folder: where the checkpoint, the state, the log and the curves go. start: nano, a folder, a hub name, or nothing;
    shape: from nothing, the checkpoint whose config.json and tokenizer.json are taken. lora: the rank of the pairs that
    learn beside frozen linear layers; 0 trains the weights themselves. precision: bfloat16 or float32 for products;
    auto is bfloat16, but on a CPU that has no instructions for it.

    pairs, held_out: folders of images, each with its text; without held_out, keep_back of the pairs (or drawn pages)
    are kept from training. They are read every measure_every steps and at every stage's end; 0 reads none but at the
    run's begin and end. prompts: one is chosen for each page; pages are measured under the first, in the first of the
    last stage's modes. compiled: on a GPU the layers that read sheets are compiled, which takes a minute or two. fonts:
    names or files of the fonts to draw with; none: DejaVu, Liberation and FreeFont.
    """

    folder: Path
    stage: tuple[Stage, ...]
    start: str = "nano"
    shape: str = "nano"
    seed: int = 1
    device: str = "auto"
    precision: Precision = "auto"
    lora: int = 0
    pairs: Path | None = None
    held_out: Path | None = None
    keep_back: int = 8
    measure_every: int = 0
    save_every: float = 120.0
    compiled: bool = True
    prompts: tuple[str, ...] = ("document",)
    fonts: tuple[str, ...] = ()

    def check(self) -> None:
        """InputError for what cannot be done; asked before anything is loaded."""
        if not self.stage:
            raise InputError("the recipe has no stages: add a [[stage]] with name, steps and learning_rate")
        for stage in self.stage:
            stage.check()
            if stage.show == "pairs" and self.pairs is None:
                raise InputError(f'stage {stage.name!r} shows pairs: give their folder (pairs = "DIR", or --pairs)')
            if self.lora and stage.small_decoder:
                raise InputError(f"stage {stage.name!r}: a small decoder learns whole; lora must be 0")
            if self.lora and stage.show == "sheets":
                raise InputError(f"stage {stage.name!r}: sheets are learned from whole; lora must be 0")
        if len({stage.small_decoder for stage in self.stage} - {0}) > 1:
            raise InputError("small_decoder has several sizes: there is one small decoder in a run")
        if self.lora and self.start == NOTHING:
            raise InputError("lora adapts a checkpoint; start from nothing with lora = 0")
        for name, least in (("lora", 0), ("keep_back", 0), ("measure_every", 0), ("save_every", 0)):
            _at_least(self, name, least)
        for prompt in self.prompts:
            if resolve_prompt(prompt).count(IMAGE) != 1:
                raise InputError(f"prompt {prompt!r} must show one page: write {IMAGE} once")
        if not self.prompts:
            raise InputError("prompts is empty: name one, such as document")

    @property
    def draws(self) -> bool:
        """Whether some stage's pages are drawn."""
        return any(stage.draws for stage in self.stage)


def _at_least(asked: Stage | Recipe, name: str, least: int) -> None:
    value = getattr(asked, name)
    if value < least:
        said = f"stage {asked.name!r}: " if isinstance(asked, Stage) else ""
        raise InputError(f"{said}{name} is {value}; it must be {least} or more")
