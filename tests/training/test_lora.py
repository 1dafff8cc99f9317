"""Pairs beside frozen layers: they begin as nothing, and merge to what they compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsocr.model.config import read_config
from dsocr.model.network import Network
from dsocr.model.weights import load_network
from dsocr.training.lora import LowRank, add_pairs, is_pair, merged


@pytest.fixture
def network(micro, tokenizer) -> Network:
    return load_network(micro, read_config(micro), tokenizer.image, device=torch.device("cpu"), dtype=torch.float32)


IDS = torch.arange(4, 40)[None]


def test_a_network_with_new_pairs_computes_what_it_did(network):
    before = network(IDS)
    add_pairs(network, 3)
    assert torch.equal(network(IDS), before)


def test_pairs_merge_to_what_they_compute(network):
    add_pairs(network, 3)
    for name, p in network.named_parameters():
        if is_pair(name):
            nn.init.normal_(p, std=0.2)
    plain = merged(network)
    assert not any(is_pair(name) for name in plain.state_dict())
    assert torch.allclose(plain(IDS), network(IDS), atol=1e-4)
    assert not torch.allclose(plain(IDS), load_plain(network)(IDS), atol=1e-2)


def load_plain(network: Network) -> Network:
    """The same without its pairs."""
    with torch.device("meta"):
        plain = Network(network.config, network.image_token_id)
    plain.load_state_dict({n: t for n, t in network.state_dict().items() if not is_pair(n)}, assign=True)
    return plain


def test_routers_and_the_head_have_no_pair_and_all_other_linear_layers_have(network):
    add_pairs(network, 2)
    bare = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    assert bare == ["decoder.layers.1.ffn.router", "decoder.head"]


def test_a_merged_network_without_pairs_shares_its_weights(network):
    plain = merged(network)
    assert plain.decoder.head.weight.data_ptr() == network.decoder.head.weight.data_ptr()
    assert not any(p.requires_grad for p in plain.parameters())


def test_a_layer_in_bfloat16_keeps_its_dtype_when_merged():
    layer = LowRank(nn.Linear(4, 6).bfloat16(), 2)
    nn.init.ones_(layer.up)
    assert layer.merged().dtype == torch.bfloat16
