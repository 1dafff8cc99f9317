"""`dsocr serve` starts, says where it is, answers in every dialect, and ends when it is told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import httpx
import pytest
from running import running, wait_until
from typer.testing import CliRunner

from dsocr import load
from dsocr.cli import app
from dsocr.model.checkpoint import find_checkpoint
from dsocr.server.run import _warn
from dsocr.server.settings import Settings


@pytest.fixture(scope="module")
def server(checkpoint):
    with running(load(checkpoint, device="cpu")) as server:
        yield server


def run(*words: str):
    return CliRunner().invoke(app, ["serve", *words])


def test_it_tells_that_it_lives_and_whether_it_reads(server):
    assert httpx.get(f"{server.address}/health").json() == {"status": "ok"}
    assert httpx.get(f"{server.address}/ready").status_code == 200


def test_one_whose_reader_has_ended_is_not_ready(checkpoint):
    with running(load(checkpoint, device="cpu")) as server:
        server.worker.close()
        assert httpx.get(f"{server.address}/health").status_code == 200
        assert httpx.get(f"{server.address}/ready").status_code == 503


DIALECTS = ["/v1/chat/completions", "/v1/responses", "/v1/ocr", "/v1/convert/source", "/v1/convert/file", "/process"]


@pytest.mark.parametrize("path", [*DIALECTS, "/tika", "/api/read", "/v1/models", "/"])
def test_every_dialect_is_there(server, path):
    assert httpx.get(server.address + path).status_code in (200, 405)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_page_is_answered_that_fetches_scripts_from_elsewhere(server, path):
    assert httpx.get(server.address + path).status_code == 404


def test_the_command_serves_until_it_is_told_to_end(checkpoint):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "dsocr", "serve", "--model", str(checkpoint), "--port", str(port)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: is_ready(f"http://127.0.0.1:{port}", process), 240, pause=0.1)
        assert httpx.get(f"http://127.0.0.1:{port}/v1/models").json()["data"][0]["id"] == checkpoint.name
        process.send_signal(signal.SIGTERM)
        _, heard = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert f"dsocr: serving {checkpoint.name} at http://127.0.0.1:{port}; Ctrl-C ends it" in heard
    assert str(checkpoint.parent) not in heard
    assert "Traceback" not in heard


def is_ready(address: str, process: subprocess.Popen) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"{address}/ready").status_code == 200
    except httpx.HTTPError:
        return False


def test_an_address_that_is_taken_is_one_line_and_no_checkpoint_is_loaded(server):
    result = run("--model", "nano", "--port", server.address.rpartition(":")[2])
    assert result.exit_code == 2
    assert "try another --port" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["no such host", "nosuchhost.invalid", "192.0.2.1"])
def test_where_the_host_is_at_fault_no_other_port_is_advised(host):
    result = run("--model", "nano", "--port", "0", "--host", host)
    assert result.exit_code == 2
    assert result.stderr.endswith("try another --host\n")


def test_a_port_that_is_not_permitted_is_the_ports_fault(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.bind", refuse)
    assert run("--model", "nano", "--port", "80").stderr.endswith("(Permission denied); try another --port\n")


@pytest.mark.parametrize(
    "words",
    [["--max-body", "many"], ["--timeout", "0"], ["--cors", "here"], ["--host", "no such host"], ["--port", "-1"]],
)
def test_what_cannot_be_is_one_line(words):
    result = run("--model", "nano", *words)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_without_the_extra_it_says_how_to_get_it():
    program = "import sys; sys.modules['uvicorn'] = None; from dsocr.__main__ import main; main()"
    words = [sys.executable, "-c", program, "serve", "--model", "nano"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "dsocr: error: serving needs uvicorn: pip install 'dsocr[serve]'\n"


def test_how_vllm_serves_the_published_checkpoint_is_printed():
    result = run("--print-vllm", "--model", "deepseek-ai/DeepSeek-OCR", "--port", "9000")
    assert result.stdout == (
        "vllm serve deepseek-ai/DeepSeek-OCR --logits-processors "
        "vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor "
        "--no-enable-prefix-caching --mm-processor-cache-gb 0 --host 127.0.0.1 --port 9000\n"
    )
    assert "newer model runner refuses" in result.stderr


def test_nano_is_named_to_vllm_by_its_folder():
    assert str(find_checkpoint("nano")) in run("--print-vllm", "--model", "nano").stdout


def test_a_server_for_all_without_a_key_is_warned_of():
    said: list[str] = []
    _warn(Settings(host="0.0.0.0"), said.append)
    _warn(Settings(host="0.0.0.0", api_keys=("key",)), said.append)
    _warn(Settings(), said.append)
    assert len(said) == 1
    assert "--api-key" in said[0]
