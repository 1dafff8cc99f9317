"""Prints what RapidOCR reads in a picture, as a contestant of `dsocr eval compare`.

pip install rapidocr-onnxruntime
dsocr eval compare pages/ --contestant 'rapidocr=python benchmarks/peers/rapidocr_reads.py {file}'
"""

from __future__ import annotations

import sys

from rapidocr_onnxruntime import RapidOCR


def main() -> None:
    lines, _ = RapidOCR()(sys.argv[1])
    print("\n".join(text for _, text, _ in lines or ()))


if __name__ == "__main__":
    main()
