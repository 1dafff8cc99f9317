"""What config.json may say, and the one line that answers what it may not."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.model.config import parse_config, read_config
from dsocr.model.weights import published_shapes

MICRO = json.loads((Path(__file__).parents[1] / "golden" / "micro" / "config.json").read_text())
SAM = ("vision_config", "width", "sam_vit_b")
CLIP = ("vision_config", "width", "clip-l-14-224")


def changed(path, value):
    """The micro configuration with one field set, or taken out when value is `...`."""
    fields = deepcopy(MICRO)
    if len(path) == 1 and path != ("language_config",):
        fields.pop("language_config")
    part = fields
    for name in path[:-1]:
        part = part[name]
    part.pop(path[-1]) if value is ... else part.update({path[-1]: value})
    return fields


def paths(fields=MICRO, above=()):
    """Every field, however deep."""
    found = [(*above, name) for name in fields]
    return found + [
        path for name, part in fields.items() if isinstance(part, dict) for path in paths(part, (*above, name))
    ]


def refusal(folder, fields):
    (folder / "config.json").write_text(fields if isinstance(fields, str) else json.dumps(fields))
    with pytest.raises(InputError) as raised:
        read_config(folder)
    message = str(raised.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


def test_a_folder_without_a_configuration_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"is not a checkpoint: it has no config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "{}", '{"vision_config": null}'])
def test_a_file_that_holds_something_else_is_refused(tmp_path, text):
    refusal(tmp_path, text)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "path",
    [("vocab_size",), ("num_experts_per_tok",), ("vision_config",), (*SAM, "width"), (*CLIP, "layers"), CLIP, SAM],
    ids="/".join,
)
def test_a_missing_field_is_named(tmp_path, path):
    assert f"{path[-1]} is missing" in refusal(tmp_path, changed(path, ...))


@pytest.mark.parametrize(
    ("path", "value", "answer"),
    [
        (("hidden_size",), "48", "hidden_size is '48'; it must be a whole number, 1 or more"),
        (("hidden_size",), 50, "hidden_size is 50, not a multiple of num_attention_heads, 4"),
        (("hidden_size",), 20, "rotary positions turn channels in pairs"),
        (("num_attention_heads",), 0, "num_attention_heads is 0"),
        (("num_key_value_heads",), 3, "num_attention_heads is 4, not a multiple of num_key_value_heads, 3"),
        (("num_hidden_layers",), True, "num_hidden_layers is True"),
        (("num_experts_per_tok",), 9, "num_experts_per_tok is more than n_routed_experts"),
        (("first_k_dense_replace",), -1, "first_k_dense_replace is -1; it must be a whole number, 0 or more"),
        (("rms_norm_eps",), "small", "'small'"),
        (("use_mla",), True, "use_mla is True; DeepSeek-OCR has False"),
        (("topk_method",), "noaux_tc", "topk_method is 'noaux_tc'; DeepSeek-OCR has 'greedy'"),
        (("rope_scaling",), {"type": "yarn"}, "rope_scaling is {'type': 'yarn'}; DeepSeek-OCR has None"),
        (("image_token_id",), "<image>", "image_token_id is '<image>'"),
        ((*SAM, "heads"), 3, "width is 32, not a multiple of heads, 3"),
        ((*SAM, "downsample_channels"), [24], "not enough values"),
        ((*SAM, "downsample_channels"), [24, 30], "clip-l-14-224 is 32 wide, the last of downsample_channels is not"),
        ((*SAM, "global_attn_indexes"), ["1"], "global_attn_indexes is '1'"),
        ((*CLIP, "patch_size"), 0, "patch_size is 0"),
        (("vision_config", "image_size"), 8, "image_size is 8; it must be a whole number, 16 or more"),
    ],
)
def test_a_value_that_cannot_be_is_named_in_one_line(tmp_path, path, value, answer):
    assert answer in refusal(tmp_path, changed(path, value))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(paths()), st.sampled_from([..., None, "x", -1, 0, 1, 3, 8, 2.5, True, [], [1], {}]))
def test_whatever_a_field_says_it_is_refused_or_a_network_can_be_built(tmp_path_factory, path, value):
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text(json.dumps(changed(path, value)))
    try:
        config = read_config(folder)
    except InputError:
        return
    assert published_shapes(config)


def test_fields_at_the_top_win_over_those_of_the_language_config():
    fields = {**MICRO, "language_config": {**MICRO["language_config"], "vocab_size": 7, "rope_theta": 5}}
    decoder = parse_config(fields).decoder
    assert (decoder.vocab_size, decoder.rope_theta) == (320, 5.0)


def test_fields_may_stand_in_the_language_config_alone():
    nested = {name: MICRO[name] for name in ("language_config", "vision_config")}
    assert parse_config(nested).decoder == parse_config(MICRO).decoder


def test_what_the_release_leaves_out_has_the_published_defaults():
    config = parse_config(changed((*SAM, "neck_channels"), ...))
    decoder = config.decoder
    assert (decoder.norm_eps, decoder.rope_theta, decoder.renormalise, decoder.routed_scale) == (1e-6, 1e4, False, 1.0)
    assert (config.sam.neck_width, config.sam.window, config.sam.table_side) == (256, 14, 64)
    assert parse_config(changed((*CLIP, "mlp_width"), ...)).clip.mlp_width == 4 * 32
    assert parse_config(changed(("image_token_id",), ...)).image_token_id is None
