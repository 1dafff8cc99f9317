"""What containers and services are made of names only what is there: files, commands, options, extras, addresses."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from dsocr.cli import app

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STEPS = [" ".join(step.split()) for step in re.sub(r"\\\n", " ", DOCKERFILE).splitlines() if re.match("[A-Z]+ ", step)]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
UNIT = ROOT / "packaging" / "dsocr.service"


def check_command(words: list[str]) -> None:
    """Fails for a command or an option that `dsocr` does not have."""
    group = get_command(app)
    command = group.commands[words[0]]
    command.make_context(words[0], words[1:])


def steps(kind: str) -> list[str]:
    return [step.partition(" ")[2] for step in STEPS if step.startswith(f"{kind} ")]


def unit() -> RawConfigParser:
    parsed = RawConfigParser(strict=False, delimiters=["="], interpolation=None)
    parsed.optionxform = str
    parsed.read_string(UNIT.read_text())
    return parsed


def is_ignored(path: str) -> bool:
    """As the last line of .dockerignore that fits says it."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if pattern and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(pattern + "/")):
            ignored = not line.startswith("!")
    return ignored


class TestDockerfile:
    def test_every_file_that_is_copied_is_there_and_let_in(self):
        copied = [word for step in steps("COPY") if "--from" not in step for word in step.split()[:-1]]
        assert {"pyproject.toml", "dsocr", "constraints.txt"} <= set(copied)
        assert all((ROOT / name).exists() for name in copied)
        assert not [name for name in copied if is_ignored(name)]
        assert is_ignored("tests")
        assert is_ignored(".git")
        assert is_ignored("dsocr/kernels/lib/core-x.so")

    def test_torch_comes_first_and_at_the_version_that_everything_is_tried_with(self):
        installs = [step for step in steps("RUN") if step.startswith("pip install")]
        assert installs[0].endswith(" torch")
        assert all("--constraint constraints.txt" in step for step in installs)

    def test_extras_and_modules_that_are_named_exist(self):
        (extras,) = [step.partition("=")[2].split(",") for step in steps("ARG") if step.startswith("EXTRAS=")]
        project = (ROOT / "pyproject.toml").read_text()
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)
        modules = re.findall(r"python -m (dsocr[.\w]*)", DOCKERFILE)
        assert modules
        assert all(find_spec(name) for name in modules)

    def test_what_runs_is_a_command_of_ours_and_not_root(self):
        assert steps("ENTRYPOINT") == ['["dsocr"]']
        check_command(json.loads(steps("CMD")[0]))
        assert steps("USER") == ["dsocr"]

    def test_its_health_is_asked_where_the_server_answers_without_a_key(self):
        pytest.importorskip("fastapi")
        from dsocr.server.limits import _OPEN

        (health,) = steps("HEALTHCHECK")
        path = re.search(r"http://127.0.0.1:(\d+)(/\w+)", health)
        assert path[1] in steps("EXPOSE")[0]
        assert path[2] in _OPEN
        compile(json.loads(health.partition("CMD ")[2])[2], "healthcheck", "exec")


class TestCompose:
    @pytest.mark.parametrize("name", COMPOSE["services"])
    def test_every_service_runs_a_command_that_exists_without_rights_it_does_not_need(self, name):
        service = COMPOSE["services"][name]
        check_command(service["command"])
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]

    @pytest.mark.parametrize("name", COMPOSE["services"])
    def test_ports_are_open_to_this_machine_only_and_volumes_are_there(self, name):
        service = COMPOSE["services"][name]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        named = [volume.partition(":")[0] for volume in service["volumes"] if not volume.startswith("$")]
        assert set(named) <= set(COMPOSE["volumes"])

    def test_arguments_of_the_build_are_those_of_the_dockerfile(self):
        known = {step.partition("=")[0] for step in steps("ARG")}
        assert all(
            set(service["build"]["args"]) <= known for service in COMPOSE["services"].values() if "build" in service
        )


class TestUnit:
    def test_it_runs_a_command_that_exists_as_nobody_in_particular(self):
        service = unit()["Service"]
        words = shlex.split(service["ExecStart"])
        assert Path(words[0]).name == "dsocr"
        check_command(words[1:])
        assert service["DynamicUser"] == service["NoNewPrivileges"] == service["ProtectHome"] == "yes"
        assert "127.0.0.1" in words

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here to ask")
    def test_systemd_understands_every_line(self, tmp_path):
        copy = tmp_path / "dsocr.service"
        copy.write_text(UNIT.read_text().replace("/opt/dsocr/bin/dsocr", sys.executable))
        asked = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
        assert (asked.returncode, asked.stderr) == (0, "")
