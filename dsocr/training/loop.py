"""The training loop: stages in order, a log line every so often, and a state from which a killed run goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.model.config import parse_config
from dsocr.model.decoder import Attention, DecoderLayer
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.model.moe import MixtureOfExperts
from dsocr.model.network import Network
from dsocr.model.weights import check_tensors, map_tensors, published_name, save_network, weight_files
from dsocr.pages.modes import get_mode
from dsocr.training.batches import CLASSES, ReadingBatch, Workshop, crop_batch, reading_batch
from dsocr.training.heads import DenseHeads, Gaze, ReadingHeads, cell_loss
from dsocr.training.recipe import Stage

_GUIDED_LAYERS = (1, 2, 3)  # each finds the next character more closely; the last layer is left to read
_BALANCE = 0.01
_Size = TypeVar("_Size")


class Trainer:
    """A network in training with its helpers; lives as long as the run."""

    def __init__(
        self, config: dict[str, Any], shop: Workshop, folder: Path, *, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.shop, self.folder, self.device, self.seed = config, shop, folder, device, seed
        self.rng = random.Random(seed)
        self.network = Network(parse_config(config), shop.tokenizer.image).to(device)
        start_weights(self.network)
        self.dense = DenseHeads(self.network.config, CLASSES).to(device)
        self.reading = ReadingHeads(self.network.config, len(_GUIDED_LAYERS)).to(device)
        self.stage, self.step = 0, 0
        self.optimiser: torch.optim.Optimizer | None = None

    def run(self, stages: Sequence[Stage], say: Callable[[str], None], *, save_every: float = 120.0) -> None:
        """Train through the stages from wherever the saved state stands; says a line about every 20 seconds."""
        self.restore(stages)
        while self.stage < len(stages):
            self._run_stage(stages[self.stage], say, save_every)
            self.stage, self.step, self.optimiser = self.stage + 1, 0, None
            self.save()

    def _run_stage(self, stage: Stage, say: Callable[[str], None], save_every: float) -> None:
        self.optimiser = self.optimiser or self._make_optimiser(stage)
        said = saved = time.monotonic()
        seen: dict[str, float] = {}
        while self.step < stage.steps:
            losses = self.train_step(stage)
            self.step += 1
            seen = {key: 0.95 * seen.get(key, value) + 0.05 * value for key, value in losses.items()}
            now = time.monotonic()
            if now - said > 20 or self.step == stage.steps:
                said = now
                shown = " ".join(f"{key} {value:.3f}" for key, value in seen.items())
                say(f"{stage.name} {self.step}/{stage.steps} {shown}")
            if now - saved > save_every:
                saved = now
                self.save()

    def train_step(self, stage: Stage) -> dict[str, float]:
        """One batch, one step of the optimiser; gives back the losses."""
        assert self.optimiser is not None
        # Pages follow from the place in the run alone, so a resumed run sees the same ones.
        self.rng = random.Random(f"{self.seed} {self.stage} {self.step} {worker()}")
        for group in self.optimiser.param_groups:
            group["lr"] = stage.learning_rate * rate(self.step, stage)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss, losses = self._losses(stage)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimiser.step()
        return losses

    def _losses(self, stage: Stage) -> tuple[Tensor, dict[str, float]]:
        if not stage.modes:
            side = self._choose(stage.crops)
            return self._look_at_crops(of_same_area(stage.batch, min(stage.crops), side), side, stage)
        shop = self.shop if self.rng.random() < stage.styles else self.shop.upright()
        mode = get_mode(self._choose(stage.modes))
        smallest = min(get_mode(name).overview_px for name in stage.modes)
        count = of_same_area(stage.batch, smallest, mode.overview_px)
        page = reading_batch(self.rng, shop, count, mode, stage.text, stage.corrupted, stage.full)
        tokens, dense_loss, losses = self._look(page.pixels, page.labels, encoder=stage.encoder, sam=False)
        forced = max(0.0, stage.forced * (1 - 2 * self.step / stage.steps))
        loss, more = self._read(tokens, page, stage.guide, forced)
        if stage.encoder:
            loss = loss + stage.dense * dense_loss
        if stage.encoder and stage.sam:
            # SAM's gradient from whole pages costs more than all else, and teaches no more than a few crops.
            crop_loss, near = self._look_at_crops(2 * stage.batch, self._choose(stage.crops), stage)
            loss, more["crop patch"], more["crop token"] = loss + crop_loss, near["patch"], near["token"]
        return loss, {**more, **losses}

    def _look_at_crops(self, count: int, side: int, stage: Stage) -> tuple[Tensor, dict[str, float]]:
        shop = self.shop if self.rng.random() < stage.styles else self.shop.upright()
        crops = crop_batch(self.rng, shop, count, side, stage.stretch)
        _, loss, losses = self._look(crops.pixels, crops.labels, encoder=True, sam=stage.sam)
        return loss, losses

    def _choose(self, shares: Mapping[_Size, float]) -> _Size:
        """A size of view for this step; all workers choose alike, or they would wait for each other."""
        rng = random.Random(f"{self.seed} {self.stage} {self.step}")
        return rng.choices(list(shares), list(shares.values()))[0]

    def _look(
        self, pixels: Tensor, labels: Tensor, *, encoder: bool, sam: bool
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Vision tokens [b, n², width] and how well both heads tell the characters."""
        pixels, labels = pixels.to(self.device, self.network.dtype), labels.to(self.device)
        eye = self.network.deep_encoder
        with torch.set_grad_enabled(sam):
            sheet = eye.sam.patches(pixels)
            features = eye.sam.compress(sheet)
        with torch.set_grad_enabled(encoder):
            tokens = eye.fuse(features)
        near, near_right = cell_loss(self.dense.patch_logits(sheet), labels)
        far, far_right = cell_loss(self.dense.token_logits(tokens), labels)
        return tokens, near + far, {"patch": near_right.item(), "token": far_right.item()}

    def _read(self, tokens: Tensor, page: ReadingBatch, guide: float, forced: float) -> tuple[Tensor, dict[str, float]]:
        """How well the text is written down, and how well the next character's place is known."""
        network, known = self.network, page.known.to(self.device)
        force = torch.tensor([self.rng.random() < forced for _ in tokens], device=self.device)
        gaze = Gaze(page.places.to(self.device), known, force, page.text_from)
        with taps(network, gaze if guide else None) as seen:
            hidden = network.decoder(network.embed(page.ids.to(self.device), lay_out(tokens, network.deep_encoder)))
        logits = network.decoder.logits(hidden[:, page.text_from :])
        targets = page.targets[:, page.text_from :].to(self.device)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
        # Pages with a forced gaze do not tell how well it reads.
        told = (targets >= 0) & ~force[:, None]
        losses = {"loss": loss.item()}
        if told.any():
            losses["right"] = (logits.argmax(-1) == targets)[told].float().mean().item()
        if guide:
            spot = self.reading.location_loss(seen.guided, page.where.to(self.device), known)
            losses |= {f"gaze {place}": look.item() for place, look in enumerate(gaze.losses)} | {"spot": spot.item()}
            order = self.reading.order_loss(tokens, page.order.to(self.device))
            cell = self.reading.cell_loss(seen.after, page.where.to(self.device), known, round(tokens.shape[1] ** 0.5))
            losses |= {"order": order.item(), "cell": cell.item()}
            loss = loss + guide * (torch.stack(gaze.losses).mean() + 3 * (spot + order) + 0.3 * cell)
        return loss + _BALANCE * sum(seen.balance), losses

    def _make_optimiser(self, stage: Stage) -> torch.optim.Optimizer:
        parts: list[nn.Module] = []
        encoder = self.network.deep_encoder
        if stage.encoder:
            parts += [encoder.clip, encoder.projector, self.dense]
        if stage.encoder and stage.sam:
            parts.append(encoder.sam)
        if stage.decoder:
            parts += [self.network.decoder, self.reading]
        parameters = [p for part in parts for p in part.parameters()]
        if stage.decoder:
            parameters += [encoder.newline, encoder.separator]
        matrices = [p for p in parameters if p.ndim >= 2]
        others = [p for p in parameters if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.98), fused=True)

    def save(self) -> None:
        """Everything a later run needs to go on, and the checkpoint as it stands; whole or not at all."""
        if worker():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "stage": self.stage,
            "step": self.step,
            "network": self.network.state_dict(),
            "dense": self.dense.state_dict(),
            "reading": self.reading.state_dict(),
            "optimiser": self.optimiser.state_dict() if self.optimiser else None,
        }
        torch.save(state, self.folder / "state.new")
        (self.folder / "state.new").replace(self.folder / "state.pt")
        save_network(self.network, self.folder / "model.new")
        (self.folder / "model.new").replace(self.folder / "model.safetensors")

    def start_from(self, folder: Path) -> None:
        """Take the weights of a checkpoint of the same shape; InputError names what does not fit."""
        tensors = map_tensors(weight_files(folder))
        check_tensors(tensors, self.network, folder)
        self.network.load_state_dict({name: tensors[published_name(name)] for name in self.network.state_dict()})

    def restore(self, stages: Sequence[Stage]) -> None:
        """Go back to the saved state, when there is one."""
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.stage, self.step = state["stage"], state["step"]
        self.network.load_state_dict(state["network"])
        self.dense.load_state_dict(state["dense"])
        self.reading.load_state_dict(state["reading"])
        if state["optimiser"] and self.stage < len(stages):
            self.optimiser = self._make_optimiser(stages[self.stage])
            self.optimiser.load_state_dict(state["optimiser"])


@dataclass
class Seen:
    """What the taps caught in one pass: what the attention of the guided layers and of the one after them was given,
    and the routers' balance losses."""

    guided: list[Tensor] = field(default_factory=list)
    after: Tensor = field(default_factory=lambda: torch.empty(0))
    balance: list[Tensor] = field(default_factory=list)


@contextmanager
def taps(network: Network, gaze: Gaze | None) -> Iterator[Seen]:
    """Catch what the training-only losses need while the plain network runs, and guide its gaze."""
    seen = Seen()
    handles = []
    layers = guided_layers(network) if gaze else []
    for layer in layers:

        def look(module: nn.Module, given: tuple[Any, ...], _: Tensor, last: bool = layer is layers[-1]) -> Tensor:
            assert gaze
            assert isinstance(module, Attention)
            seen.guided.append(given[0])
            return gaze.attend(module, given[0], given[1], force=last)

        handles.append(layer.attention.register_forward_hook(look))
    if layers:

        def note(module: nn.Module, given: tuple[Any, ...]) -> None:
            seen.after = given[0]

        last_layer = network.decoder.layers[-1]
        assert isinstance(last_layer, DecoderLayer)
        handles.append(last_layer.attention.register_forward_pre_hook(note))
    for part in network.modules():
        if isinstance(part, MixtureOfExperts):
            handles.append(part.register_forward_pre_hook(lambda moe, given: seen.balance.append(balance(moe, *given))))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def guided_layers(network: Network) -> list[DecoderLayer]:
    """The layers that are taught to look at the next character."""
    layers = [network.decoder.layers[index] for index in _GUIDED_LAYERS if index < len(network.decoder.layers)]
    return [layer for layer in layers if isinstance(layer, DecoderLayer)]


def worker() -> int:
    """Which of several training processes this is (0 when it is the only one)."""
    return dist.get_rank() if dist.is_initialized() else 0


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


def balance(moe: MixtureOfExperts, x: Tensor) -> Tensor:
    """The router's balance loss: experts x Σ (share of choices x mean probability); 1 when all are even."""
    probabilities = F.linear(x.flatten(0, -2).float(), moe.router.weight.float()).softmax(-1)
    chosen = probabilities.topk(moe.per_token, dim=-1).indices
    share = F.one_hot(chosen, probabilities.shape[-1]).float().mean((0, 1))
    return probabilities.shape[-1] * (share * probabilities.mean(0)).sum()


def of_same_area(count: int, smallest: int, side: int) -> int:
    """How many squares of one side have about the area of `count` squares of the smallest."""
    return max(1, round(count * (smallest / side) ** 2))


def lay_out(tokens: Tensor, encoder: DeepEncoder) -> Tensor:
    """Overviews' tokens [b, n², width] as the rows of all prompts, in order: [b · (n(n + 1) + 1), width]."""
    batch, count, width = tokens.shape
    side = round(count**0.5)
    newline = encoder.newline.to(tokens.dtype).expand(batch, side, 1, width)
    rows = torch.cat([tokens.reshape(batch, side, side, width), newline], dim=2).flatten(1, 2)
    separator = encoder.separator.to(tokens.dtype).expand(batch, 1, width)
    return torch.cat([rows, separator], dim=1).flatten(0, 1)


def rate(step: int, stage: Stage) -> float:
    """Learning rate over the stage's own: a short warm-up, level, then falling in a line to a twentieth."""
    warm = min(1.0, (step + 1) / 50)
    done = step / stage.steps
    return warm * min(1.0, max(0.05, (1 - done) / max(1e-9, 1 - stage.decay_from)))


def start_weights(network: Network) -> None:
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
