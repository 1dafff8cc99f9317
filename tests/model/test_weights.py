"""Checkpoints: the release's names and shapes, every way a file can be wrong, and what loading leaves untouched."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from dsocr.errors import InputError
from dsocr.model.config import parse_config, read_config
from dsocr.model.released import RELEASED
from dsocr.model.weights import load_network, map_tensors, published_shapes, save_network, weight_files

GOLDEN = Path(__file__).parents[1] / "golden"
MICRO = GOLDEN / "micro"
TENSORS = load_file(MICRO / "model.safetensors")
BYTES = (MICRO / "model.safetensors").read_bytes()
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    shutil.copy(MICRO / "config.json", tmp_path)
    return tmp_path


def load(folder, dtype=None):
    return load_network(folder, read_config(folder), 300, device=CPU, dtype=dtype)


def shard(folder, *, index=True):
    """The micro checkpoint in two files, and the index that names them."""
    names = ("model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors")
    where = {tensor: names[place % 2] for place, tensor in enumerate(TENSORS)}
    for name in names:
        save_file({tensor: TENSORS[tensor] for tensor in TENSORS if where[tensor] == name}, folder / name)
    if index:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return [folder / name for name in names]


def one_line(raised):
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_released_configuration_has_the_2710_names_and_shapes_of_the_release():
    with gzip.open(GOLDEN / "full_shapes.json.gz", "rt") as file:
        released = {name: tuple(shape) for name, shape in json.load(file).items()}
    assert len(released) == 2710
    assert published_shapes(parse_config(RELEASED)) == released


def test_the_micro_checkpoint_has_the_names_and_shapes_of_its_configuration():
    assert published_shapes(read_config(MICRO)) == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}


def test_all_that_is_wrong_with_the_tensors_is_named_at_once(folder):
    tensors = dict(TENSORS)
    del tensors["lm_head.weight"], tensors["model.image_newline"]
    tensors["model.norm.weight"] = torch.ones(47)
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.ones(48, 80)
    tensors["model.vision_model.embeddings.position_ids"] = torch.ones(1)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError) as raised:
        load(folder)
    message = one_line(raised)
    assert message.startswith(f"{folder} does not fit its config.json: ")
    assert set(message.partition(".json: ")[2].split("; ")) == {
        "missing lm_head.weight [320, 48]",
        "missing model.image_newline [48]",
        "surplus model.vision_model.embeddings.position_ids",
        "model.norm.weight is [47], not [48]",
        "model.layers.0.mlp.up_proj.weight is [48, 80], not [80, 48]",
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(BYTES) - 1))
def test_a_file_cut_anywhere_is_not_a_whole_file(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "model.safetensors"
    path.write_bytes(BYTES[:length])
    with pytest.raises(InputError, match=r"model\.safetensors is not a whole safetensors file") as raised:
        map_tensors([path])
    one_line(raised)


def test_shards_are_read_by_their_index(folder):
    files = shard(folder)
    assert weight_files(folder) == files
    assert torch.equal(load(folder).decoder.head.weight, TENSORS["lm_head.weight"])


def test_shards_are_read_without_an_index_too(folder):
    files = shard(folder, index=False)
    assert weight_files(folder) == files
    assert torch.equal(load(folder).deep_encoder.newline, TENSORS["model.image_newline"])


def test_a_missing_shard_is_named(folder):
    shard(folder)[1].unlink()
    with pytest.raises(InputError, match=r"not a whole checkpoint: missing model-00002-of-000002\.safetensors"):
        load(folder)


def test_a_shard_that_no_index_misses_is_missed_by_its_tensors(folder):
    shard(folder, index=False)[0].unlink()
    with pytest.raises(InputError, match=r"missing decoder|missing model\.") as raised:
        load(folder)
    assert one_line(raised).count("missing") == (len(TENSORS) + 1) // 2


def test_a_folder_without_weights_says_what_is_missing(folder):
    with pytest.raises(InputError, match=r"not a whole checkpoint: missing \*\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": null}}']
)
def test_an_index_that_is_none_is_refused(folder, text):
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(InputError, match=r"model\.safetensors\.index\.json is not a safetensors index"):
        weight_files(folder)


def test_an_index_never_leads_out_of_the_folder(folder):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret.safetensors"}}')
    with pytest.raises(InputError, match=r"missing secret\.safetensors"):
        weight_files(folder)


def mapped_regions(path):
    """The addresses at which this process maps a file."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    found = [line[0].split("-") for line in lines if line[-1] == str(Path(path).resolve())]
    return [range(int(start, 16), int(end, 16)) for start, end in found]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is Linux's")
def test_weights_kept_as_stored_lie_in_the_mapped_file_and_nowhere_else(folder):
    path = shutil.copy(MICRO / "model.safetensors", folder)
    network = load(folder)
    regions = mapped_regions(path)
    assert all(any(tensor.data_ptr() in region for region in regions) for tensor in network.state_dict().values())


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/statm is Linux's")
def test_mapping_a_large_file_reads_none_of_it(tmp_path):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    path = tmp_path / "large.safetensors"
    save_file({name: torch.zeros(50_000_000, dtype=torch.bfloat16) for name in "ab"}, path)
    before = resident()
    tensors = map_tensors([path])
    assert sum(tensor.nbytes for tensor in tensors.values()) == 200_000_000
    assert resident() - before < 20_000_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_come_in_the_dtype_that_is_asked_for(dtype):
    network = load(MICRO, dtype)
    assert network.dtype == dtype
    assert {tensor.dtype for tensor in network.state_dict().values()} == {dtype}
    assert torch.equal(network.decoder.head.weight, TENSORS["lm_head.weight"].to(dtype))


def test_a_loaded_network_is_for_reading():
    network = load(MICRO)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, None])
def test_what_is_saved_is_what_was_loaded(tmp_path, dtype):
    save_network(load(MICRO, dtype), tmp_path / "model.safetensors")
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(saved[name], tensor, rtol=0, atol=0)


def test_a_network_can_be_saved_at_its_own_precision(tmp_path):
    network = load(MICRO, torch.float32)
    network.decoder.head.weight.data.fill_(1 / 3)
    save_network(network, tmp_path / "model.safetensors", torch.float32)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["lm_head.weight"], network.decoder.head.weight)
