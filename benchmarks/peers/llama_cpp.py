"""How fast llama.cpp decodes the released shapes on this CPU, one sequence at a time, with random weights.

    python benchmarks/peers/llama_cpp.py [--formats bf16 q8_0 q4_k_m] [--threads 1 2] [--load auto|none] [--rounds 3]

Prints one JSON line a measurement. The first run fetches the source that the package llama-cpp-python carries,
builds it and writes the three files, all in runs/peers/; what is there already is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "0.3.36"  # of llama-cpp-python
FORMATS = ("bf16", "q8_0", "q4_k_m")
DEPTH, TOKENS, REPETITIONS = 300, 64, 3  # places already read, tokens decoded at a time, and how often

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "runs" / "peers"
PACKAGE = f"llama_cpp_python-{VERSION}"
SOURCE = FOLDER / PACKAGE / "vendor" / "llama.cpp"
BUILD = FOLDER / f"build-{VERSION}"
BENCH, QUANTIZE = BUILD / "bin" / "llama-bench", BUILD / "bin" / "llama-quantize"
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "ON",
    "GGML_OPENMP": "ON",
    "LLAMA_ALL_WARNINGS": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_OPENSSL": "OFF",
    # Else cmake asks git, and takes the commit of the repository that runs/ lies in.
    "LLAMA_BUILD_NUMBER": "0",
    "LLAMA_BUILD_COMMIT": PACKAGE,
}


def measure(format: str, threads: int, load: str = "auto") -> float:
    """Tokens per second at batch 1 of one of FORMATS: the best repetition of one run of llama-bench.

    `load` is llama.cpp's way to its weights: "auto" maps the file, "none" reads it into memory of its own.
    """
    prepare([format])
    answer = run_bench(bench_command(format, threads, load))
    if answer.returncode == -signal.SIGILL:  # its products of many places fail on some processors with tiles (AMX)
        answer = run_bench([*bench_command(format, threads, load, repetitions=1), "-b", "1", "-ub", "1"])
    answer.check_returncode()
    return float(max(json.loads(answer.stdout)["samples_ts"]))


def bench_command(format: str, threads: int, load: str, repetitions: int = REPETITIONS) -> list[str]:
    """Only decoding is timed; llama-bench reads the DEPTH places before it starts the clock."""
    sizes = f"-p 0 -n {TOKENS} -d {DEPTH} -t {threads} -lm {load} -r {repetitions}"
    return [str(BENCH), "-m", str(gguf_file(format)), *sizes.split(), "-o", "jsonl"]


def run_bench(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)


def gguf_file(format: str) -> Path:
    return FOLDER / f"decoder-{format}.gguf"


def prepare(formats: list[str]) -> None:
    """Fetches, builds and writes what is missing; takes a quarter of an hour and 12 GB of disk from nothing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not SOURCE.exists():
        fetch_source()
    if not (BENCH.exists() and QUANTIZE.exists()):
        build()
    for format in formats:
        if not gguf_file(format).exists():
            make_file(format)


def fetch_source() -> None:
    # Not `--no-binary :all:`, which would build even the package's build tools from source.
    package = ["--no-binary", "llama-cpp-python", "--no-deps", f"llama-cpp-python=={VERSION}"]
    run([sys.executable, "-m", "pip", "download", *package, "--dest", str(FOLDER)])
    with tarfile.open(FOLDER / f"{PACKAGE}.tar.gz") as archive:
        archive.extractall(FOLDER, filter="data")


def build() -> None:
    options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
    run(["cmake", "-S", str(SOURCE), "-B", str(BUILD), *options])
    run(["cmake", "--build", str(BUILD), "--target", BENCH.name, QUANTIZE.name, "--parallel", "2"])


def make_file(format: str) -> None:
    """Under another name until it is whole."""
    part = FOLDER / "part.gguf"
    if format == "bf16":
        script, packages = Path(__file__).with_name("make_gguf.py"), [SOURCE / "gguf-py", REPOSITORY]
        run([sys.executable, str(script), str(part)], PYTHONPATH=os.pathsep.join(map(str, packages)))
    else:
        prepare(["bf16"])
        run([str(QUANTIZE), str(gguf_file("bf16")), str(part), format.upper()])
    part.rename(gguf_file(format))


def run(command: list[str], **environment: str) -> None:
    """In the background of whatever else the machine does; its words go to stderr."""
    subprocess.run(["nice", "-n", "10", *command], check=True, stdout=sys.stderr, env={**os.environ, **environment})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--load", choices=("auto", "none"), default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for _ in range(options.rounds):
        for threads in options.threads:
            for format in options.formats:
                print(json.dumps(record(format, threads, options.load)), flush=True)


def record(format: str, threads: int, load: str) -> dict[str, object]:
    return {
        "peer": "llama.cpp",
        "format": format,
        "threads": threads,
        "tokens_per_s": round(measure(format, threads, load), 2),
        "command": " ".join(bench_command(format, threads, load)).replace(f"{REPOSITORY}{os.sep}", ""),
        "version": f"llama-cpp-python {VERSION}",
    }


if __name__ == "__main__":
    main()
