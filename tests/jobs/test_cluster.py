"""Pages read by the replicas of a cluster: none is lost and none is doubled, though a replica is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from drawn_pages import inked

from dsocr import Options, Sampling, load
from dsocr.errors import InputError
from dsocr.jobs import cluster
from dsocr.jobs.cluster import Cluster
from dsocr.reading import Reading


@pytest.mark.parametrize(
    ("resources", "device", "cores", "share"),
    [
        ({"CPU": 64.0, "GPU": 8.0}, "auto", 4, (1, 8, 1)),
        ({"CPU": 64.0, "GPU": 8.0}, "cpu", 4, (0, 16, 4)),
        ({"CPU": 10.0}, "auto", 4, (0, 2, 4)),
        ({"CPU": 2.0}, "auto", 4, (0, 1, 2)),
    ],
)
def test_there_is_a_replica_for_each_gpu_or_for_each_group_of_cores(resources, device, cores, share):
    assert cluster._share(resources, device, cores) == share


def test_a_device_that_no_machine_has_is_said():
    with pytest.raises(InputError, match="no GPUs"):
        cluster._share({"CPU": 2.0}, "cuda", 4)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'dsocr\[ray\]'"):
        Cluster("local", "nano")


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_where_nobody_listens_it_is_said_at_once(monkeypatch, address):
    fake = SimpleNamespace(is_initialized=lambda: False, init=lambda **_: pytest.fail("tried for minutes"))
    monkeypatch.setitem(sys.modules, "ray", fake)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(InputError, match=r"no Ray cluster answers at '.*' \(.*refused\); known: "):
            Cluster(address.format(nobody.getsockname()[1]), "nano")


@pytest.fixture(scope="module")
def ray() -> Iterator[object]:
    """A cluster of two workers in little memory."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 - where others are busy it takes its time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


OPTIONS = Options("tiny", sampling=Sampling(max_tokens=40))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestTwoReplicas:
    @pytest.fixture
    def replicas(self, ray, checkpoint) -> Iterator[Cluster]:
        made = Cluster("local", str(checkpoint), dtype="float32", batch=2, cores=1)
        yield made
        made.close()

    def test_pages_read_as_they_are_read_here_and_in_their_order(self, replicas, checkpoint):
        pages = [inked((80 + number, 60)) for number in range(12)]
        here = load(checkpoint, dtype="float32")
        wanted = [here.read(page, "tiny", sampling=OPTIONS.sampling).transcripts[0] for page in pages]
        found = [step.transcript() for step in replicas.readings_of(pages, OPTIONS) if isinstance(step, Reading)]
        assert [(page.width, page.raw, page.status) for page in found] == [
            (page.width, page.raw, page.status) for page in wanted
        ]
        assert len(replicas._seats) == 2

    def test_a_replica_killed_in_the_middle_costs_no_page_and_doubles_none(self, ray, replicas, checkpoint):
        pages = [inked((80 + number, 60)) for number in range(40)]
        options = Options("tiny", sampling=Sampling(max_tokens=400), loops="stop")
        here = load(checkpoint, dtype="float32").readings_of(pages, options)
        wanted = [step.transcript() for step in here if isinstance(step, Reading)]
        found, killed = [], False
        for step in replicas.readings_of(pages, options):
            if not isinstance(step, Reading):
                continue
            found.append(step.transcript())
            if len(found) == 6 and not killed:
                asked = replicas._seats[0].handle.__ray_call__.remote(lambda _: os.getpid())
                os.kill(ray.get(asked), signal.SIGKILL)
                killed = True
        assert killed
        assert [(page.width, page.raw, page.status) for page in found] == [
            (page.width, page.raw, page.status) for page in wanted
        ]

    def test_the_command_reads_with_a_cluster(self, ray, checkpoint, tmp_path):
        from typer.testing import CliRunner

        from dsocr.cli import app

        for number in range(3):
            inked((80 + number, 60)).save(tmp_path / f"{number}.png")
        words = ["--ray", "local", "--model", str(checkpoint), "--mode", "tiny", "--max-tokens", "20", "--no-apart"]
        told = CliRunner().invoke(app, ["read", str(tmp_path), "-o", str(tmp_path / "out"), *words])
        lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
        assert told.exit_code in (0, 10), told.output
        assert [line["input"][-5:] for line in lines] == ["0.png", "1.png", "2.png"]
        assert {(line["device"], line["status"] in ("ok", "truncated", "looped")) for line in lines} == {
            ("ray cpu", True)
        }

    def test_a_checkpoint_that_is_not_there_is_said_in_a_line(self, ray, tmp_path):
        with pytest.raises(InputError, match="cannot be started"):
            Cluster("local", str(tmp_path / "nowhere"))
