"""`dsocr read --engine`: answers, manifest and cache are what they are when the model runs here."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from drawn_pages import inked
from served import MODEL, Fake
from typer.testing import CliRunner

from dsocr.cli import app


@pytest.fixture
def serve():
    with ExitStack() as running:
        yield lambda *args, **traits: running.enter_context(Fake(*args, **traits).running())


@pytest.fixture
def scans(tmp_path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(4):
        inked((80 + number, 60)).save(folder / f"{number}.png")
    return folder


def read(*words: object, **environment: str):
    return CliRunner().invoke(app, ["read", "--no-apart", *map(str, words)], env=environment)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_pages_go_to_servers_and_into_the_same_files_manifest_and_cache(serve, scans, tmp_path):
    fakes, out = [serve(), serve("sglang")], tmp_path / "out"
    told = read(scans, "-o", out, "--engine", ",".join(fake.url for fake in fakes))
    assert told.exit_code == 0, told.output
    assert [(out / f"{number}.md").read_text().strip() for number in range(4)] == ["some words"] * 4
    lines = lines_of(out)
    assert [line["status"] for line in lines] == ["ok"] * 4
    assert {(line["model"], line["device"], line["cached"]) for line in lines} == {
        (MODEL, "SGLang 0.5.4, vLLM 0.12.0", False)
    }
    asked = sum(len(fake.forms) for fake in fakes)
    read(scans, "-o", out, "--engine", fakes[0].url, "--engine", fakes[1].url)
    assert [line["cached"] for line in lines_of(out)[4:]] == [True] * 4
    assert sum(len(fake.forms) for fake in fakes) == asked == 4


def test_markdown_streams_to_stdout(serve, scans):
    told = read(scans / "0.png", "--engine", serve().url)
    assert told.stdout == "some words\n"


def test_a_page_that_its_servers_fail_on_is_in_the_manifest_and_in_the_exit_code(serve, scans, tmp_path):
    fake = serve()
    fake.answer = lambda form: (400, {"message": "no"}) if fake.look(form).width == 82 else ["fine"]
    told = read(scans, "-o", tmp_path, "--engine", fake.url)
    assert told.exit_code == 10
    assert [line["status"] for line in lines_of(tmp_path)] == ["ok", "ok", "failed", "ok"]


def test_a_key_comes_from_the_environment_and_goes_nowhere_but_to_the_server(serve, scans, tmp_path):
    fake = serve(key="s3cret")
    told = read(scans, "-o", tmp_path, "--engine", fake.url, DSOCR_ENGINE_KEY="s3cret")
    assert told.exit_code == 0
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.suffix in (".md", ".jsonl"))
    assert "s3cret" not in told.output + kept + read("--help").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "URL", "--mode", "tiny"], "mode 'tiny' is not available at"),
        (["--engine", "URL", "--device", "cpu"], "are the server's own"),
        (["--engine", "URL", "--ray", "local"], "not both"),
        (["--engine", "nowhere"], "only addresses with http:// or https:// are read"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(serve, scans, words, said):
    told = read(scans / "0.png", *(serve().url if word == "URL" else word for word in words))
    assert told.exit_code == 2
    (error,) = [line for line in told.stderr.splitlines() if line.startswith("dsocr: error: ")]
    assert said in error


def test_no_weights_are_loaded_where_a_server_reads(serve, scans, monkeypatch):
    monkeypatch.setattr("dsocr.ocr.load_network", lambda *_, **__: pytest.fail("loaded"))
    assert read(scans / "0.png", "--engine", serve().url).exit_code == 0
