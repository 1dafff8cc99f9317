"""The whole network: views become rows of the prompt, the prompt becomes logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsocr.model.config import Config
from dsocr.model.decoder import Cache, Decoder
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.views import Views


class Network(nn.Module):
    """DeepSeek-OCR. `image_token_id` marks the places of the prompt that vision rows replace."""

    def __init__(self, config: Config, image_token_id: int) -> None:
        super().__init__()
        self.config = config
        self.image_token_id = image_token_id
        self.deep_encoder = DeepEncoder(config)
        self.decoder = Decoder(config.decoder)

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

    def forward(self, ids: Tensor, vision: Tensor | None = None) -> Tensor:
        """Prompt ids [b, n] and vision rows [places, width] in order → logits [b, n, vocab], float32."""
        return self.decoder.logits(self.decoder(self.embed(ids, vision)))

    def extend(self, ids: Tensor, vision: Tensor | None, cache: Cache) -> Tensor:
        """Put ids [1, n] behind what `cache` holds → logits [1, vocab] of the last place."""
        hidden = self.decoder(self.embed(ids, vision), cache)
        return self.decoder.logits(hidden[:, -1])

    def embed(self, ids: Tensor, vision: Tensor | None) -> Tensor:
        """Ids [b, n] → [b, n, width]; vision rows replace, in order, the places that hold the image id.

        Raises ValueError when rows and places do not match in number: the published code drops a surplus
        in silence.
        """
        embedded: Tensor = self.decoder.embed(ids)
        places = ids == self.image_token_id
        wanted, given = int(places.sum()), 0 if vision is None else len(vision)
        if wanted != given:
            raise ValueError(f"the prompt has {wanted} image places, the vision rows are {given}")
        if vision is None:
            return embedded
        return embedded.masked_scatter(places[..., None], vision.to(embedded.dtype))
