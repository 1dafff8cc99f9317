"""The doctor finds what is wrong with a machine or a checkpoint in seconds, says what to do, and loads nothing for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dsocr import doctor
from dsocr.cli.doctor import doctor as command
from dsocr.doctor import Check, Wishes, exit_code, shape_faults, tell
from dsocr.errors import InputError


@pytest.fixture
def copy(checkpoint, tmp_path) -> Path:
    shutil.copytree(checkpoint, tmp_path / "copy")
    return tmp_path / "copy"


def change(folder: Path, **tensors: object) -> None:
    """Put other tensors in place of some, None in place of none; names with _ for dots."""
    path = folder / "model.safetensors"
    found = load_file(path)
    for name, tensor in tensors.items():
        whole = next(each for each in [*found, name] if each.replace(".", "_") == name)
        found.pop(whole, None)
        if tensor is not None:
            found[whole] = tensor
    save_file(found, path)


class TestCheckpoint:
    def test_a_whole_one_is_fine(self, checkpoint):
        assert shape_faults(checkpoint) == []
        assert doctor._checkpoint(Wishes(str(checkpoint))).state == "fine"

    def test_missing_surplus_and_misshapen_tensors_are_named(self, copy):
        norm = load_file(copy / "model.safetensors")["model.norm.weight"]
        change(copy, lm_head_weight=None, more=norm.clone(), model_norm_weight=norm[:-1].clone())
        size = len(norm)
        assert shape_faults(copy) == [
            "missing lm_head.weight",
            "surplus more",
            f"model.norm.weight is [{size - 1}], not [{size}]",
        ]
        found = doctor._checkpoint(Wishes(str(copy)))
        assert (found.state, found.advice) == ("trouble", "copy it here again")

    def test_weights_that_were_cut_short_are_told(self, copy):
        path = copy / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InputError, match="is not whole"):
            shape_faults(copy)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_a_missing_file_is_told(self, copy, name):
        (copy / name).unlink()
        found = doctor._safely(doctor._checkpoint, Wishes(str(copy)))
        assert found.state == "trouble"
        assert name.partition(".")[0] in found.found or "safetensors" in found.found

    def test_one_that_is_on_the_hub_only_is_not_downloaded(self, monkeypatch):
        monkeypatch.setattr("dsocr.model.checkpoint.pull_checkpoint", lambda name: pytest.fail("downloaded"))
        found = doctor._safely(doctor._checkpoint, Wishes("nobody/nothing"))
        assert (found.found, found.advice) == (
            "nobody/nothing is not on this machine, or not whole",
            "dsocr pull nobody/nothing",
        )

    @pytest.mark.parametrize("name", ["/nonexistent", "./nonexistent", "~/nonexistent/x", "nonexistent"])
    def test_a_folder_that_is_not_here_is_not_looked_for_on_the_hub(self, name):
        found = doctor._safely(doctor._checkpoint, Wishes(name))
        assert (found.state, found.advice) == ("trouble", "give a folder that is here as --model, or leave it out")

    def test_a_config_that_cannot_be_read_is_told_with_a_way_out(self, copy):
        (copy / "config.json").write_text("{")
        found = doctor._safely(doctor._checkpoint, Wishes(str(copy)))
        assert "config.json cannot be read" in found.found
        assert found.advice == "copy it here again"


class TestMachine:
    def test_a_device_that_is_not_here_is_trouble_with_a_way_out(self):
        found = doctor._safely(doctor._device, Wishes(device="tpu"))
        assert found.found == "device 'tpu' is not on this machine; known: auto, cpu, cuda, mps"
        assert (found.state, found.advice.partition(",")[0]) == ("trouble", "leave --device and --dtype out")

    def test_a_dtype_that_is_not_known_is_trouble(self, checkpoint):
        wishes = Wishes(str(checkpoint), "cpu", "bogus")
        for check in (doctor._device, doctor._memory, doctor._trial):
            found = doctor._safely(check, wishes)
            assert found.state == "trouble"
            assert found.found.startswith("dtype 'bogus' is unknown; known: auto, ")
            assert found.advice

    def test_a_package_that_is_too_old_is_trouble(self, monkeypatch):
        monkeypatch.setattr("importlib.metadata.requires", lambda name: ["numpy>=999", "nowhere>=1", "pillow>=11"])
        found = doctor._packages(Wishes())
        assert (found.state, found.advice) == ("trouble", "pip install 'numpy>=999' 'nowhere>=1'")

    def test_extras_that_are_not_installed_are_told_and_are_no_trouble(self, monkeypatch):
        lines = ['nowhere>=1; extra == "far"', 'pillow>=11; extra == "near"', 'pytest; extra == "dev"']
        monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
        found = doctor._extras(Wishes())
        assert (found.state, found.found) == ("note", "near; not installed: far")

    @pytest.mark.parametrize(("marker", "there"), [("< '3.0'", True), (">= '3.0'", False), ('< "3.99"', False)])
    def test_what_only_other_pythons_need_is_not_missed(self, monkeypatch, marker, there):
        lines = [f"nowhere>=1; python_version {marker} and extra == 'far'"]
        monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
        assert doctor._extras(Wishes()).state == ("fine" if there else "note")

    def test_a_package_that_cannot_be_imported_is_trouble_and_ends_nothing(self):
        def check(wishes: Wishes) -> Check:
            import nowhere_at_all

            return nowhere_at_all.x

        assert doctor._safely(check, Wishes()).state == "trouble"

    def test_too_little_memory_is_trouble(self, checkpoint, monkeypatch):
        wishes = Wishes(str(checkpoint))
        assert doctor._memory(wishes).state == "fine"
        monkeypatch.setattr("dsocr.kernels.memory.available_memory", lambda device: 1000)
        assert doctor._memory(wishes).state == "trouble"


class TestTrial:
    def test_nano_reads_a_page_drawn_without_any_font_of_this_machine(self):
        found = doctor._trial(Wishes(device="cpu"))
        assert found.state == "fine", found

    @pytest.mark.parametrize("text", ["", "zzzz zzzz zzzz"])
    def test_a_reader_that_reads_something_else_is_trouble(self, dictate, text):
        dictate(text)
        found = doctor._trial(Wishes(device="cpu"))
        assert found.state == "trouble"
        assert repr(text) in found.found

    def test_it_is_read_with_the_numbers_that_are_asked_for(self, monkeypatch):
        asked = []
        monkeypatch.setattr("dsocr.ocr.load", lambda *words: asked.append(words))
        with pytest.raises(AttributeError):
            doctor._trial(Wishes(None, "cpu", "int8"))
        assert asked == [("nano", "cpu", "int8")]


class TestTelling:
    def test_advice_stands_below_what_was_found(self):
        assert tell(Check("core", "note", "none", "make core")) == "note core       none\n                → make core"

    def test_notes_are_no_trouble(self):
        assert exit_code([Check("a", "fine", ""), Check("b", "note", "")]) == 0
        assert exit_code([Check("a", "fine", ""), Check("b", "trouble", "")]) == 1

    @pytest.mark.parametrize(("state", "code"), [("fine", 0), ("trouble", 1)])
    def test_the_command_tells_people_and_programs(self, monkeypatch, state, code):
        import typer

        app = typer.Typer()
        app.command()(command)
        monkeypatch.setattr(doctor, "examine", lambda wishes: iter([Check("core", state, "what was found", "advice")]))
        told = CliRunner().invoke(app, [])
        assert (told.exit_code, "what was found" in told.stdout) == (code, True)
        form = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
        assert form["well"] is (code == 0)
        assert form["checks"] == [{"name": "core", "state": state, "found": "what was found", "advice": "advice"}]
