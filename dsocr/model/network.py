"""The whole network: views become rows of the prompt, the prompt becomes logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsocr.model.config import Config
from dsocr.model.decoder import Batch, Decoder
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.views import Views


class FastDecoder(Protocol):
    """The decoder's fast twin: `Network.step` asks it where there is one."""

    # Any: it reads the tables of the engine's own batch, which the plain decoder need not know of.
    def step(self, x: Tensor, batch: Any, wanted: Sequence[int]) -> Tensor:
        """Rows [n, width] → float32 logits [len(wanted), vocab]."""


class Network(nn.Module):
    """DeepSeek-OCR. `image_token_id` marks the places of the prompt that vision rows replace."""

    def __init__(self, config: Config, image_token_id: int) -> None:
        super().__init__()
        self.config = config
        self.image_token_id = image_token_id
        self.deep_encoder = DeepEncoder(config)
        self.decoder = Decoder(config.decoder)
        self.fast: FastDecoder | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.decoder.embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are."""
        return self.decoder.embed.weight.dtype

    def encode(self, views: Views) -> Tensor:
        """One page → [places, width]: the rows that stand for it in the prompt, in order."""
        return self.deep_encoder.read(views)

    def encode_many(self, pages: Sequence[Views]) -> list[Tensor]:
        """Several pages → the rows of each, as `encode` gives them."""
        return self.deep_encoder.read_many(pages)

    def forward(self, ids: Tensor, vision: Tensor | None = None) -> Tensor:
        """Prompt ids [b, n] and vision rows [places, width] in order → logits [b, n, vocab], float32."""
        return self.decoder.logits(self.decoder(self.embed(ids, vision)))

    def step(self, x: Tensor, batch: Batch, wanted: Sequence[int]) -> Tensor:
        """Read the rows x [n, width] of a batch → logits [len(wanted), vocab] of the wanted rows, float32."""
        if self.fast is not None:
            return self.fast.step(x, batch, wanted)
        hidden = self.decoder(x[None], batch)[0]
        return self.decoder.logits(hidden if len(wanted) == len(hidden) else hidden[list(wanted)])

    def embed(self, ids: Tensor, vision: Tensor | None) -> Tensor:
        """Ids [b, n] → [b, n, width]; vision rows replace, in order, the places that hold the image id.

        Ids that lie on the CPU make nobody wait for another device. Raises ValueError when rows and places do not
        match in number: the published code drops a surplus in silence.
        """
        embedded: Tensor = self.decoder.embed(ids.to(self.device))
        places = ids == self.image_token_id
        wanted, given = int(places.sum()), 0 if vision is None else len(vision)
        if wanted != given:
            raise ValueError(f"the prompt has {wanted} image places, the vision rows are {given}")
        if vision is None:
            return embedded
        return embedded.masked_scatter(places.to(self.device)[..., None], vision.to(embedded.dtype))
