"""The training loop: stages in order, pages that follow from their place in the run, and a state to go on from."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dsocr.errors import InputError
from dsocr.model.config import Config
from dsocr.model.decoder import Decoder
from dsocr.model.network import Network
from dsocr.model.speed import multiplies_bfloat16
from dsocr.model.weights import save_network
from dsocr.pages.modes import Mode, get_mode
from dsocr.training.batches import (
    CLASSES,
    PageBatch,
    Workshop,
    crop_batch,
    draw_page,
    note_batch,
    pair_batch,
    slipped,
    text_ids,
)
from dsocr.training.drawing import Drawn
from dsocr.training.heads import Heads
from dsocr.training.log import Log
from dsocr.training.lora import add_pairs, is_pair, merged
from dsocr.training.losses import Features, Shown, crop_loss, page_loss, see
from dsocr.training.muon import Muon
from dsocr.training.pairs import deal
from dsocr.training.recipe import Recipe, Stage
from dsocr.training.rollouts import write_down
from dsocr.training.sheets.batches import SheetBatch, sheet_batch
from dsocr.training.sheets.kinds import KINDS, characters_of, pages_in
from dsocr.training.sheets.loss import Looked, look, sheet_loss
from dsocr.training.sheets.supply import free_cores, supply
from dsocr.training.slips import Written

_Size = TypeVar("_Size")
_FREE = frozenset({"folder", "device", "measure_every", "save_every", "compiled"})  # what may change when a run goes on
_LOGGED = {"cuda": 10}  # steps between two lines of the log
_NO_MATRIX = re.compile(r"^heads\.|embed\.|\.head\.|positions|class_token|_table|router|sam\.patch\.|newline|separator")
_AHEAD = 32  # batches that are written at once
Measure = Callable[[Network], float]


@dataclass(frozen=True)
class _Notes:
    """The drawn notes of one batch, with the chances that go on from there; rolled: whether they are written first."""

    mode: Mode
    shop: Workshop
    notes: list[Drawn]
    rolled: bool
    rng: random.Random


class Trainer:
    """A network in training with its helpers; lives as long as the run."""

    def __init__(self, network: Network, recipe: Recipe, shop: Workshop, log: Log, measure: Measure | None) -> None:
        """measure: how well a network reads pages that are kept from training; None where nothing is kept."""
        torch.manual_seed(recipe.seed)
        self.network, self.recipe, self.shop, self.log, self.measure = network, recipe, shop, log, measure
        self.heads = Heads(network.config, CLASSES).to(network.device)
        if recipe.lora:
            add_pairs(network, recipe.lora)
        self.pupil = network  # what the stage trains: the network, or its encoder with a small decoder
        self.small = next((with_small_decoder(network, s.small_decoder) for s in recipe.stage if s.small_decoder), None)
        self.stage, self.step = 0, 0
        self.optimiser: torch.optim.Optimizer | None = None
        self.spent = 0.0  # seconds of the stage
        self._sheets: Iterator[SheetBatch] | None = None
        self._shown: dict[int, SheetBatch] = {}
        self._looked: dict[int, Looked] = {}
        self._kept: dict[int, tuple[Features, PageBatch]] = {}
        self._rolled: dict[int, list[Written]] = {}

    def run(self) -> None:
        """Train through the stages from wherever the saved state stands."""
        if not self.restore():
            self.log.forget_after(-1, 0)
            self._measure()
        while self.stage < len(self.recipe.stage):
            self._run_stage(self.recipe.stage[self.stage])
            self.stage, self.step, self.optimiser, self.spent = self.stage + 1, 0, None, 0.0
            self._kept.clear()
            self._rolled.clear()
            self._shown.clear()
            self._looked.clear()
            self._sheets = None
            self.save()

    def _run_stage(self, stage: Stage) -> None:
        if self.optimiser is None:
            self.begin(stage)
        saved, began = time.monotonic(), time.monotonic() - self.spent
        every, waiting = self.recipe.measure_every, list[Shown]()
        while self.done(stage) < 1:
            waiting.append(self.train_step(stage))
            self.step += 1
            self.spent = time.monotonic() - began
            if stage.minutes:
                self.spent = of_the_first(self.spent)
            last = self.done(stage) >= 1
            # A GPU is not waited for at each step.
            if last or self.step % _LOGGED.get(self.network.device.type, 1) == 0:
                figures = self._told(stage, waiting)
                self.log.step(self.stage, stage.name, self.step, stage.steps, figures, last=last)
                waiting.clear()
            if last or (every and self.step % every == 0):
                self._measure()
            if time.monotonic() - saved > self.recipe.save_every:
                self.save()
                saved = time.monotonic()

    def done(self, stage: Stage) -> float:
        """How much of the stage is over, 0 to 1: by the clock where it has minutes, else by steps."""
        by_steps = self.step / stage.steps
        return max(by_steps, self.spent / (60 * stage.minutes)) if stage.minutes else by_steps

    def _told(self, stage: Stage, steps: Sequence[Shown]) -> dict[str, float]:
        """The mean figures of some steps. InputError where the loss is no number any more."""
        figures = _means(steps)
        if not math.isfinite(figures.pop("norm")):
            raise InputError(
                f"stage {stage.name!r}, step {self.step}: the loss is no number any more; lower learning_rate"
            )
        return figures

    def begin(self, stage: Stage) -> None:
        """Let learn what the stage says, and nothing else, with a new optimiser."""
        self.pupil = self.small if stage.small_decoder and self.small else self.network
        self.network.requires_grad_(False)
        learning = self._learning(stage)
        for parameter in learning.values():
            parameter.requires_grad_(True)
        if stage.show == "sheets":
            matrices = [p for name, p in learning.items() if p.ndim >= 2 and not _NO_MATRIX.search(name)]
            known = {id(p) for p in matrices}
            others = [p for p in learning.values() if id(p) not in known]
            self.optimiser = Muon(
                [
                    {"params": matrices, "matrices": True, "weight_decay": 0.01},
                    {"params": others, "share": 0.5},  # of the learning rate
                ],
                stage.learning_rate,
                bfloat16=self.in_bfloat16,
            )
            return
        adam = [
            {"params": [p for p in learning.values() if p.ndim >= 2], "weight_decay": 0.01},
            {"params": [p for p in learning.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(adam, lr=stage.learning_rate, betas=(0.9, 0.98), fused=True)

    def _learning(self, stage: Stage) -> dict[str, nn.Parameter]:
        """What learns, by its name."""
        eye = self.pupil.deep_encoder
        parts: dict[str, nn.Module] = {"sam": eye.sam} if stage.sam else {}
        parts |= {"clip": eye.clip, "projector": eye.projector} if stage.encoder else {}
        parts |= {"decoder": self.pupil.decoder} if stage.decoder else {}
        named = {f"{part}.{name}": p for part, module in parts.items() for name, p in module.named_parameters()}
        # Of an adapted network only the pairs learn.
        learning = {name: p for name, p in named.items() if not self.recipe.lora or is_pair(name)}
        if stage.decoder and not self.recipe.lora:
            learning |= {"newline": eye.newline, "separator": eye.separator}
        return learning | {f"heads.{name}": p for name, p in self.heads.named_parameters()}

    def train_step(self, stage: Stage) -> Shown:
        """One step of the optimiser from `accumulate` batches; gives back their mean figures, still on the device."""
        assert self.optimiser is not None
        for group in self.optimiser.param_groups:
            group["lr"] = stage.learning_rate * rate(self.step, self.done(stage), stage) * group.get("share", 1.0)
        self.optimiser.zero_grad(set_to_none=True)
        batches = [self._teach(stage, self.step * stage.accumulate + index) for index in range(stage.accumulate)]
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        if self.network.device.type not in _LOGGED:
            self._told(stage, [{"norm": norm}])
        self.optimiser.step()
        return _mean(batches) | {"norm": norm}

    def _teach(self, stage: Stage, place: int) -> Shown:
        """The gradients of one batch."""
        with torch.autocast(self.pupil.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            loss, shown = self.loss(stage, place)
        (loss / stage.accumulate).backward()  # type: ignore[no-untyped-call]
        return shown

    @property
    def in_bfloat16(self) -> bool:
        """Whether products are; float32 ones are faster on a CPU that has no instructions for bfloat16.

        Weights that are kept as they are stored have no float32 products.
        """
        if self.recipe.precision == "float32":
            return False
        told = self.recipe.precision == "bfloat16" or self.pupil.dtype != torch.float32
        return told or self.pupil.device.type != "cpu" or multiplies_bfloat16()

    def loss(self, stage: Stage, place: int) -> tuple[Tensor, Shown]:
        """The loss of the batch at a place of the stage, and figures for the log."""
        if stage.show == "sheets":
            sheets = self._sheet_batch(stage, place)
            fade = min(1.0, (1 - self.done(stage)) / max(1e-9, 1 - stage.fade_from))
            compiled = self.recipe.compiled and self.network.device.type == "cuda"
            looked = self._looked_at(stage, place, sheets, compiled) if not stage.sam else None
            return sheet_loss(self.pupil, self.heads, sheets, stage, fade, looked=looked, compiled=compiled)
        if stage.show == "crops":
            alike, own = self._chances(place)
            side = choose(alike, stage.crops)
            count = of_same_area(stage.batch, min(stage.crops), side)
            crops = crop_batch(own, self._shop(own, stage), count, side, stage.stretch)
            return crop_loss(self.pupil, self.heads, crops, stage)
        features, batch = self._pages(stage, number_at(stage, self.recipe.seed, self.stage, place))
        if stage.sam:
            features = see(self.pupil.deep_encoder, batch, learns=True)
        share = max(0.0, stage.forced * (1 - 2 * self.step / stage.steps))
        chances = random.Random(f"{self.recipe.seed} {self.stage} {place} {worker()} forced")
        forced = torch.tensor([chances.random() < share for _ in batch.layouts])
        return page_loss(self.pupil, self.heads, features, batch, stage, forced)

    def _pages(self, stage: Stage, number: int) -> tuple[Features, PageBatch]:
        """The batch of that number as SAM sees it, made again only if it is not kept from before."""
        if number in self._kept:
            return self._kept[number]
        batch = self.pages(stage, number)
        features = Features(torch.empty(0), torch.empty(0))
        if not stage.sam:
            features, batch = see(self.pupil.deep_encoder, batch, learns=False), batch.without_pixels()
        if stage.seen > 1:
            self._kept[number] = features, batch
            if len(self._kept) > stage.pool:
                del self._kept[min(self._kept)]
        return features, batch

    def pages(self, stage: Stage, number: int) -> PageBatch:
        """The batch of that number in the stage: it follows from the seed and the number alone.

        But for what is rolled out: that follows from the weights as well, so that a run that goes on may see others.
        """
        if stage.show == "pairs":
            mode, count, _, own = self._size(stage, number)
            first = (number * workers() + worker()) * stage.batch
            pairs = [deal(self.shop.pairs, self.recipe.seed, first + index) for index in range(count)]
            return pair_batch(own, self.shop, pairs, mode)
        drawn = self._draw(stage, number)
        if drawn.rolled:
            written, shop = self._rolled_out(stage, number), replace(drawn.shop, prompts=self.shop.prompts[:1])
        else:
            written, shop = [slipped(drawn.rng, drawn.shop, note, stage) for note in drawn.notes], drawn.shop
        return note_batch(drawn.rng, shop, drawn.notes, drawn.mode, written)

    def _sheet_batch(self, stage: Stage, place: int) -> SheetBatch:
        """The sheets that are shown at a place of the stage, on the device."""
        number = number_at(stage, self.recipe.seed, self.stage, place)
        if number in self._shown:
            return self._shown[number]
        if self._sheets is None:
            newest = -(-place // stage.seen)
            self._sheets = supply(lambda at: self.sheets(stage, at), newest, free_cores(self.network.device))
        # A run that goes on may ask for one that was drawn before it was killed.
        batch = next(self._sheets) if place % stage.seen == 0 else self.sheets(stage, number)
        if self.network.device.type == "cpu":
            batch = batch.trimmed()
        batch = batch.to(self.network.device)
        if stage.seen > 1:
            self._shown[number] = batch
            if len(self._shown) > stage.pool:
                del self._shown[min(self._shown)]
        return batch

    def _looked_at(self, stage: Stage, place: int, sheets: SheetBatch, compiled: bool) -> Looked:
        """What a SAM that rests makes of the sheets at a place of the stage, kept as long as they are."""
        number = number_at(stage, self.recipe.seed, self.stage, place)
        looked = self._looked.get(number) or look(self.pupil.deep_encoder, sheets, learns=False, compiled=compiled)
        self._looked[number] = looked
        self._looked = {known: each for known, each in self._looked.items() if known in self._shown}
        return looked

    def sheets(self, stage: Stage, number: int) -> SheetBatch:
        """The batch of whole pages of that number in the stage: it follows from the seed and the number alone."""
        alike, own = self._chances(number)
        kind = choose(alike, stage.kinds)
        count = pages_in(stage.places, KINDS[kind])
        characters = characters_of(alike, KINDS[kind], stage.full)  # as many in all workers, or they would wait
        return sheet_batch(
            own,
            self._shop(own, stage),
            kind,
            count,
            weights=stage.text,
            characters=characters,
            corrupted=stage.corrupted,
            slips=stage.slips,
        )

    def _size(self, stage: Stage, number: int) -> tuple[Mode, int, random.Random, random.Random]:
        """The mode of a batch and how many pages are in it, and the chances of `_chances` that go on from there."""
        alike, own = self._chances(number)
        mode = get_mode(choose(alike, stage.modes))
        smallest = min(get_mode(name).overview_px for name in stage.modes)
        return mode, of_same_area(stage.batch, smallest, mode.overview_px), alike, own

    def _draw(self, stage: Stage, number: int) -> _Notes:
        mode, count, alike, own = self._size(stage, number)
        crowded, rolled = (alike.random() < share for share in (stage.full, stage.rolled))
        shop = self._shop(own, stage)
        return _Notes(mode, shop, [draw_page(own, shop, stage.text, crowded) for _ in range(count)], rolled, own)

    def _rolled_out(self, stage: Stage, number: int) -> list[Written]:
        """What the network writes about the notes of that number; those of the next numbers are written with them."""
        if number not in self._rolled:
            ahead = {each: self._draw(stage, each) for each in range(number, number + _AHEAD)}
            rolled = {each: drawn for each, drawn in ahead.items() if drawn.rolled}
            for mode in {drawn.mode for drawn in rolled.values()}:
                own = {each: drawn.notes for each, drawn in rolled.items() if drawn.mode == mode}
                notes = list(chain(*own.values()))
                texts = [text_ids(self.shop, note) for note in notes]
                prompt, network = self.shop.prompts[0], merged(self.pupil)
                written = iter(write_down(network, self.shop.tokenizer, notes, texts, prompt, mode.name))
                self._rolled |= {each: list(islice(written, len(drawn))) for each, drawn in own.items()}
        return self._rolled.pop(number)

    def _chances(self, number: int) -> tuple[random.Random, random.Random]:
        """For what all workers choose alike, or they would wait for each other, and for what each draws itself."""
        seed = f"{self.recipe.seed} {self.stage} {number}"
        return random.Random(seed), random.Random(f"{seed} {worker()}")

    def _shop(self, rng: random.Random, stage: Stage) -> Workshop:
        return self.shop if rng.random() < stage.styles else self.shop.upright()

    def _measure(self) -> None:
        """How well kept pages are read, for the log."""
        if self.measure is None or worker():
            return
        self.log.measured(self.stage, self.step, self.measure(merged(self.pupil)))

    def save(self) -> None:
        """Everything a later run needs to go on, and the checkpoint as it stands; whole or not at all."""
        if worker():
            return
        folder = self.recipe.folder
        state = {
            "stage": self.stage,
            "step": self.step,
            "spent": self.spent,
            "recipe": self._asked(),
            "network": {name: tensor for name, tensor in self.network.state_dict().items() if self._changes(name)},
            "small": self.small.decoder.state_dict() if self.small else None,
            "heads": self.heads.state_dict(),
            "optimiser": self.optimiser.state_dict() if self.optimiser else None,
        }
        torch.save(state, folder / "state.new")
        (folder / "state.new").replace(folder / "state.pt")
        save_network(merged(self.network), folder / "model.new")
        (folder / "model.new").replace(folder / "model.safetensors")
        self.log.draw()

    def restore(self) -> bool:
        """Go back to the saved state; False when there is none. InputError when it is of another run."""
        path = self.recipe.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.network.device, weights_only=True)
        other = [name for name, asked in self._asked().items() if state["recipe"].get(name) != asked]
        if other:
            raise InputError(
                f"{self.recipe.folder} holds a run with another {other[0]}: go on with its own recipe, or give another "
                "folder"
            )
        self.stage, self.step, self.optimiser = state["stage"], state["step"], None
        self.spent = state["spent"]
        self.network.load_state_dict(state["network"], strict=not self.recipe.lora)
        self.heads.load_state_dict(state["heads"])
        if self.small:
            self.small.decoder.load_state_dict(state["small"])
        if state["optimiser"]:
            self.begin(self.recipe.stage[self.stage])
            assert self.optimiser is not None
            self.optimiser.load_state_dict(state["optimiser"])
        self.log.forget_after(self.stage, self.step)
        return True

    def _asked(self) -> dict[str, str]:
        """What must be the same for a run to go on, in words."""
        asked = {name: repr(value) for name, value in vars(self.recipe).items() if name not in _FREE}
        return asked | {"number of processes": str(workers())}

    def _changes(self, name: str) -> bool:
        return not self.recipe.lora or is_pair(name)


def number_at(stage: Stage, seed: int, stage_number: int, place: int) -> int:
    """Which batch of the stage is shown at a place: every `seen`-th one is new, the others are among the last ones."""
    newest = place // stage.seen
    if place % stage.seen == 0:
        return newest
    return random.Random(f"{seed} {stage_number} {place} again").randint(max(0, newest - stage.pool + 1), newest)


def choose(rng: random.Random, shares: Mapping[_Size, float]) -> _Size:
    """One of them, by its share."""
    return rng.choices(list(shares), list(shares.values()))[0]


def of_same_area(count: int, smallest: int, side: int) -> int:
    """How many squares of one side have about the area of `count` squares of the smallest."""
    return max(1, round(count * (smallest / side) ** 2))


def rate(step: int, done: float, stage: Stage) -> float:
    """Learning rate over the stage's own: a short warm-up, level, then falling in a line to a twentieth.

    done: how much of the stage is over.
    """
    warm = min(1.0, (step + 1) / min(50, max(1, stage.steps // 4)))
    return warm * min(1.0, max(0.05, (1 - done) / max(1e-9, 1 - stage.decay_from)))


def worker() -> int:
    """Which of several training processes this is (0 when it is the only one)."""
    return dist.get_rank() if dist.is_initialized() else 0


def workers() -> int:
    """How many training processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give every training process the mean of all processes' gradients; nothing to do for a single one."""
    if not dist.is_initialized():
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    together /= dist.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for parameter, part in zip(parameters, torch.split(together, sizes), strict=True):
        parameter.grad = part.view_as(parameter)


def of_the_first(number: float) -> float:
    """The first training process's number, for all of them: their clocks differ, and they must stop together."""
    if not dist.is_initialized():
        return number
    shared = torch.tensor(number, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return shared.item()


def new_network(config: Config, image_token_id: int, device: torch.device) -> Network:
    """A network with random weights."""
    network = Network(config, image_token_id)
    start_weights(network)
    return network.to(device)


def with_small_decoder(network: Network, layers: int) -> Network:
    """The same encoder, and in the decoder's place a small dense one of as many layers, with random weights."""
    own = network.config.decoder
    config = replace(network.config, decoder=replace(own, layers=layers, dense_layers=layers))
    with torch.device("meta"):
        small = Network(config, network.image_token_id)
    small.deep_encoder, small.decoder = network.deep_encoder, Decoder(config.decoder)
    start_weights(small.decoder)
    return small.to(network.device)


def start_weights(network: nn.Module) -> None:
    """Random weights: 0.5 for embeddings, tables and special vectors, 1/sqrt(inputs) for matrices."""
    for name, parameter in network.named_parameters():
        if name.endswith(("embed.weight", "positions", "newline", "separator", "class_token")):
            nn.init.normal_(parameter, std=0.5)
        elif name.endswith(("row_table", "column_table")):
            nn.init.normal_(parameter, std=0.02)
        elif "norm" in name or parameter.ndim < 2:
            nn.init.constant_(parameter, 1.0 if name.endswith("norm.weight") else 0.0)
        else:
            nn.init.normal_(parameter, std=(parameter[0].numel()) ** -0.5)


def _mean(batches: Sequence[Shown]) -> Shown:
    """The mean of each figure over the batches that have it, on the device."""
    names = dict.fromkeys(name for shown in batches for name in shown)
    return {name: torch.stack([shown[name].float() for shown in batches if name in shown]).mean() for name in names}


def _means(batches: Sequence[Shown]) -> dict[str, float]:
    """The same in numbers; the device is waited for once."""
    means = _mean(batches)
    return dict(zip(means, torch.stack([mean.to(torch.float32) for mean in means.values()]).tolist(), strict=True))
