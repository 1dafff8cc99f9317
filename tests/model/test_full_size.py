"""The network at the released size, its weights drawn from a recipe, against what the published code answered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from recipe_weights import drawn_network, drawn_weight
from safetensors.torch import load_file

from dsocr.engine.batch import Batch, Span
from dsocr.engine.kv_cache import KVPool, blocks_for
from dsocr.model.released import RELEASED_IMAGE_ID as IMAGE
from dsocr.pages import get_mode
from dsocr.pages.tiling import make_views

MICRO = Path(__file__).parents[1] / "golden" / "micro"
# Rows of the prompt, the five likeliest ids, the two largest logits, 16 greedy ids.
PUBLISHED = {
    "tiny": (
        73,
        [68821, 8650, 73570, 44871, 58104],
        [4.50209, 4.48080],
        [
            *(68821, 87025, 57105, 123373, 27598, 108317, 98753, 74370),
            *(8650, 112823, 25236, 19690, 38043, 34152, 44592, 107620),
        ],
    ),
    "base": (
        273,
        [43337, 8650, 17429, 86331, 112519],
        [4.55953, 4.26770],
        [
            *(43337, 67311, 49677, 11704, 90753, 8650, 88002, 8650),
            *(72493, 8650, 95215, 612, 57185, 82960, 117927, 111600),
        ],
    ),
    "gundam": (
        903,
        [20398, 20331, 69753, 8801, 37354],
        [4.51391, 4.05921],
        [
            *(20398, 25870, 50131, 88176, 17506, 73570, 19690, 63492),
            *(8801, 85270, 8650, 46533, 81834, 62776, 72493, 112519),
        ],
    ),
}


@pytest.fixture(scope="module")
def network():
    return drawn_network()


def test_the_recipe_makes_the_micro_checkpoint_to_the_bit():
    for name, tensor in load_file(MICRO / "model.safetensors").items():
        assert torch.equal(drawn_weight(name, tensor.shape), tensor.float()), name


@pytest.mark.slow
@pytest.mark.parametrize("mode", PUBLISHED)
@torch.inference_mode()
def test_a_page_is_read_at_full_size_as_the_published_code_reads_it(network, mode):
    places, likeliest, largest, greedy = PUBLISHED[mode]
    page = Image.open(MICRO / "page.png").convert("RGB")
    rows = network.encode(make_views(page, get_mode(mode)))
    ids = [0] + [IMAGE] * places + [byte + 3 for byte in b"\nFree OCR."]
    pool = KVPool(12, 10, 128, blocks_for(len(ids) + len(greedy)), torch.float32, torch.device("cpu"))
    blocks = pool.take(pool.blocks)
    x = network.embed(torch.tensor([ids]), rows)[0]
    logits = network.step(x, Batch(pool, [Span(blocks, 0, len(ids))]), [len(ids) - 1])[0]
    assert logits.topk(5).indices.tolist() == likeliest
    torch.testing.assert_close(logits.topk(2).values, torch.tensor(largest), atol=1e-3, rtol=0)
    written = [int(logits.argmax())]
    while len(written) < len(greedy):
        end = len(ids) + len(written)
        x = network.embed(torch.tensor([written[-1:]]), None)[0]
        written.append(int(network.step(x, Batch(pool, [Span(blocks, end - 1, end)]), [0]).argmax()))
    assert written == greedy
