"""The training loop on a network of a few thousand parameters: what learns, what is seen, and how a killed run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.model.weights import published_name
from dsocr.ocr import load
from dsocr.training.loop import number_at, rate
from dsocr.training.recipe import Stage
from dsocr.training.recipe_file import read_recipe
from dsocr.training.run import train

LOOK = Stage("look", 3, 1e-3, "crops", batch=2, sam=True, decoder=False, crops={128: 1.0})
READ = Stage("read", 3, 1e-3, "notes", modes={"tiny": 1.0}, dense=0.5, guide=0.5, forced=0.5, corrupted=0.1)
PAIRS = Stage("pairs", 3, 1e-3, "pairs", batch=2, modes={"tiny": 1.0}, sam=True)
SHEETS = Stage("sheets", 5, 1e-3, "sheets", kinds={"tiny": 1.0}, places=1200, seen=2, pool=2, sam=True, guide=0.5)
AGAIN = replace(READ, name="again", steps=12, seen=3, pool=2)


def losses(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def write_recipe(folder: Path, start: Path, pairs: Path, more: str, stage: str) -> Path:
    """A recipe file of one stage beside the run's folder; more and stage: further keys of each."""
    written = folder.with_suffix(".toml")
    written.write_text(f"""
        folder = "{folder}"
        start = "{start}"
        pairs = "{pairs}"
        keep_back = 0
        device = "cpu"
        {more}
        [[stage]]
        name = "all"
        learning_rate = 1e-3
        modes = {{ tiny = 1.0 }}
        {stage}
    """)
    return written


@pytest.mark.parametrize("lora", [0, 2])
def test_a_run_that_stopped_goes_on_to_the_same_weights(trainer, tmp_path, lora):
    stages = (replace(LOOK, steps=2), replace(AGAIN, steps=4), *(() if lora else (SHEETS,)), PAIRS)
    start = "nano" if lora else "nothing"
    whole = trainer(*stages, folder=tmp_path / "whole", lora=lora, start=start)
    whole.run()
    cut = trainer(*stages, folder=tmp_path / "cut", lora=lora, start=start, save_every=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut, "train_step", stop_after(6 if lora else 9, cut.train_step))
        with pytest.raises(KeyboardInterrupt):
            cut.run()
    again = trainer(*stages, folder=tmp_path / "cut", lora=lora, start=start, save_every=0)
    again.run()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name


def stop_after(steps: int, train_step):
    left = iter(range(steps))

    def step(stage):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return train_step(stage)

    return step


def test_a_killed_process_goes_on_to_the_same_losses(micro, pair_folder, tmp_path):
    def recipe(name: str) -> Path:
        return write_recipe(tmp_path / name, micro, pair_folder, "save_every = 0", "steps = 15\nseen = 3")

    train(read_recipe(recipe("whole"), {}), str)
    command = [sys.executable, "-m", "dsocr", "train", "--config", str(recipe("killed"))]
    threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=threads)
    log = tmp_path / "killed" / "log.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert len(log.read_text().splitlines()) < 15
    train(read_recipe(recipe("killed"), {}), str)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_two_processes_learn_what_one_learns_from_the_pages_of_both(micro, pair_folder, tmp_path):
    def recipe(name: str, accumulate: int) -> Path:
        stage = f"steps = 4\naccumulate = {accumulate}"
        return write_recipe(tmp_path / name, micro, pair_folder, 'precision = "float32"', stage)

    train(read_recipe(recipe("one", 2), {}), str)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "dsocr", "train", "--config", str(recipe("two", 1))]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120)
    one, two = (torch.load(tmp_path / name / "state.pt", weights_only=True)["network"] for name in ("one", "two"))
    for name, tensor in one.items():
        if not name.endswith(
            "qkv.bias"
        ):  # a key's bias changes nothing: its gradient is rounding, which Adam makes large
            torch.testing.assert_close(two[name], tensor, atol=2e-5, rtol=1e-4, msg=name)


def test_processes_go_by_one_clock(tmp_path):
    program = tmp_path / "clock.py"
    program.write_text(
        "import torch.distributed as dist\n"
        "from pathlib import Path\n"
        "from dsocr.training.loop import of_the_first, worker\n"
        "dist.init_process_group('gloo')\n"
        "told = of_the_first(0.1 + worker())\n"
        "Path(__file__).with_name(f'told{worker()}').write_text(repr(told))\n"
        "dist.destroy_process_group()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(program)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120)
    assert [(tmp_path / f"told{number}").read_text() for number in range(2)] == ["0.1", "0.1"]


def test_another_recipe_does_not_go_on(trainer):
    trainer(LOOK).save()
    with pytest.raises(InputError, match="another stage"):
        trainer(replace(LOOK, learning_rate=2e-3)).restore()


def test_what_it_saves_is_a_checkpoint(trainer, tmp_path, micro):
    run = trainer(PAIRS, lora=2)
    for file in ("config.json", "tokenizer.json"):
        (tmp_path / file).write_bytes((micro / file).read_bytes())
    run.train_step(PAIRS)
    run.save()
    assert load(tmp_path).network.config == run.network.config


@pytest.mark.parametrize(
    ("stage", "learns", "rests"),
    [
        (replace(READ, encoder=False), "decoder", "deep_encoder.clip"),
        (replace(READ, decoder=False), "deep_encoder.clip", "decoder"),
        (READ, "deep_encoder.projector", "deep_encoder.sam"),
        (PAIRS, "deep_encoder.sam", "nothing"),
        (LOOK, "deep_encoder.sam", "decoder"),
    ],
)
def test_a_stage_trains_what_it_says_and_nothing_else(trainer, stage, learns, rests):
    run = trainer(stage)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.train_step(stage)
    changed = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith(learns) for name in changed)
    assert not any(name.startswith(rests) for name in changed)


def test_of_an_adapted_network_only_the_pairs_learn(trainer):
    run = trainer(PAIRS, lora=2)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.train_step(PAIRS)
    changed = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.endswith((".up", ".down")) for name in changed)


def test_the_small_decoder_teaches_the_encoder_and_stays_behind(trainer):
    small = replace(PAIRS, small_decoder=1)
    run = trainer(small, PAIRS)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.train_step(small)
    after = run.network.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("deep_encoder.sam") for name in changed)
    assert not any(name.startswith("decoder") for name in changed)
    assert len(run.small.decoder.layers) == 1


def test_a_run_of_both_stages_of_the_paper_goes_through(trainer, tmp_path):
    run = trainer(replace(PAIRS, small_decoder=1, steps=2), replace(PAIRS, steps=2, sam=False), save_every=0)
    run.run()
    assert [entry["step"] for entry in losses(tmp_path)] == [1, 2, 1, 2]


def test_several_batches_make_one_step_of_their_mean_gradient(trainer):
    stage = replace(PAIRS, accumulate=3)
    run = trainer(stage, precision="float32")
    for place in range(3):
        loss, _ = run.loss(stage, place)
        (loss / 3).backward()
    wanted = {name: p.grad for name, p in run.network.named_parameters() if p.grad is not None}
    run.optimiser.zero_grad()
    for place in range(3):
        run._teach(stage, place)
    for name, p in run.network.named_parameters():
        assert p.grad is None or torch.equal(p.grad, wanted[name]), name


def test_every_parameter_in_use_has_a_gradient(trainer):
    run = trainer(PAIRS)
    loss, _ = run.loss(PAIRS, 0)
    loss.backward()
    idle = {published_name(name) for name, p in run.network.named_parameters() if p.grad is None}
    # The published patch convolution is never used; an expert that no token chose rests.
    assert {name for name in idle if "experts" not in name} == {"model.vision_model.embeddings.patch_embedding.weight"}


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 200))
def test_a_page_seen_again_is_one_of_the_last(seen, pool, place):
    stage = replace(READ, seen=seen, pool=pool)
    number, newest = number_at(stage, 7, 0, place), place // seen
    assert max(0, newest - pool + 1) <= number <= newest
    assert place % seen or number == newest


def test_keeping_pages_changes_nothing_but_the_time(trainer):
    kept, bare = trainer(AGAIN, folder=None or Path(trainer(AGAIN).recipe.folder / "a")), trainer(AGAIN)
    for step in range(9):
        bare._kept.clear()
        assert kept.train_step(AGAIN) == bare.train_step(AGAIN)
        kept.step = bare.step = step + 1
    assert len(kept._kept) == AGAIN.pool


def test_workers_choose_the_kind_of_page_alike_and_the_page_for_themselves(trainer, monkeypatch):
    import dsocr.training.loop as loop

    stage = replace(READ, full=0.5, modes={"tiny": 0.5, "small": 0.5})
    run = trainer(stage)
    mine = [run.pages(stage, number) for number in range(4)]
    monkeypatch.setattr(loop, "worker", lambda: 1)
    others = [run.pages(stage, number) for number in range(4)]
    assert [page.overviews.shape for page in mine] == [page.overviews.shape for page in others]
    assert all(page.ids.tolist() != other.ids.tolist() for page, other in zip(mine, others, strict=True))


def test_a_loss_that_is_no_number_stops_the_run(trainer):
    run = trainer(PAIRS)
    torch.nn.init.constant_(run.network.decoder.norm.weight, float("nan"))
    with pytest.raises(InputError, match="lower learning_rate"):
        run.train_step(PAIRS)


def test_a_stage_of_minutes_ends_by_the_clock(trainer, tmp_path):
    run = trainer(replace(SHEETS, steps=10**6, minutes=0.03, learning_rate=1e-2), folder=tmp_path / "run")
    run.run()
    entries = losses(tmp_path / "run")
    assert 1 < len(entries) < 1000
    assert run.stage == 1
    assert entries[-1]["loss"] < entries[0]["loss"]


def test_the_rate_warms_up_stays_and_falls():
    stage = replace(LOOK, steps=1000, decay_from=0.5)
    rates = {step: rate(step, step / 1000, stage) for step in (0, 30, 100, 400, 800, 999)}
    assert rates[0] < rates[30] < rates[100] == rates[400] == 1.0
    assert rates[400] > rates[800] > rates[999] == pytest.approx(0.05)
