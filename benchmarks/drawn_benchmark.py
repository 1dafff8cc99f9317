"""Draws a benchmark whose truth is known, in the layouts of Fox, OmniDocBench and olmOCR-bench.

    python benchmarks/drawn_benchmark.py FOLDER [--pages 120] [--seed 0] [--text FILE]

FOLDER gets fox/, omnidocbench/ and olmocr-bench/ with the same pages: notes, books with headers, papers with formulas,
reports with tables, magazines in two columns. The prose is benchmarks/prose.txt, or any plain text file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsocr.evaluation.drawn.layouts import write_fox, write_olmocr_bench, write_omnidocbench
from dsocr.evaluation.drawn.pages import draw_pages

LAYOUTS = {"fox": write_fox, "omnidocbench": write_omnidocbench, "olmocr-bench": write_olmocr_bench}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", type=Path, default=Path(__file__).with_name("prose.txt"))
    asked = parser.parse_args()
    pages = draw_pages(asked.text.read_text(encoding="utf-8"), asked.pages, asked.seed)
    for name, write in LAYOUTS.items():
        write(pages, asked.folder / name)
        print(f"{asked.folder / name}: {len(pages)} pages")


if __name__ == "__main__":
    main()
