"""The table of speeds: what it counts, and that the command prints it."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from dsocr import bench, cli, load
from dsocr.errors import InputError
from dsocr.model.config import parse_config
from dsocr.model.network import Network
from dsocr.model.released import RELEASED


@pytest.fixture(scope="module")
def released():
    with torch.device("meta"):
        return Network(parse_config(RELEASED), 0)


def test_a_token_of_the_release_reads_its_active_weights_and_what_was_stored_before(released):
    # In float32, as built here; 12 layers of 2 x 1280 numbers a place.
    weights = 4 * 573_400_000
    assert bench.step_bytes(released, 0) == pytest.approx(weights, rel=0.01)
    assert bench.step_bytes(released, 300) - bench.step_bytes(released, 0) == 300 * 12 * 2 * 1280 * 4


def test_a_view_of_the_release_takes_381_billion_operations(released):
    assert bench.encode_operations(released, 640) == pytest.approx(381e9, rel=0.01)


def test_the_command_prints_a_table_of_limits_and_rates():
    result = CliRunner().invoke(cli.app, ["bench", "--model", "nano", "--batch", "1,2", "--seconds", "0.1"])
    rows = [line.split("|")[1].strip() for line in result.stdout.splitlines() if line.startswith("| ")]
    rates = ["decode, 1 at once", "decode, 2 at once", "a prompt of 256 places", "encode a 640 px view"]
    assert rows[-4:] == rates
    assert "nano (auto) on" in result.stdout


def test_large_rates_are_told_in_whole_numbers():
    assert "| 3634 GFLOP/s |" in bench.Rate("x", 3633.7, "GFLOP/s").row()
    assert "| 0.0123 s |" in bench.Rate("x", 0.01234, "s").row()


@pytest.mark.parametrize("batch", ["", "0", "1,x", "2,-1"])
def test_a_batch_that_is_no_list_of_numbers_is_refused(batch):
    with pytest.raises(InputError, match="1,4,16"):
        bench.parse_batches(batch)


@pytest.mark.parametrize(("dtype", "most"), [("int8", 0.06), ("int4", 0.35)])
def test_few_bits_read_nearly_as_all_of_them(dtype, most):
    exact, few = (load("nano", dtype=name).network for name in ("float32", dtype))
    ids = torch.arange(20, 60)[None]
    wanted, found = exact(ids), few(ids)
    assert float((found - wanted).norm() / wanted.norm()) < most
