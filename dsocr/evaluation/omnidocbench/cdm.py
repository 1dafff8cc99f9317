"""CDM: formulas compared by what they look like, which the benchmark's own tool measures; files go to it and come back.

The tool draws the formulas, and needs TeX. It is the folder cdm of UniMERNet, which OmniDocBench uses:
`python evaluation.py -i DIR/NAME.json -o DIR` writes DIR/NAME/metrics_res.json. Nothing here stands in for it: until
that file is there, there is no CDM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dsocr.errors import FileAccessError, InputError
from dsocr.evaluation.files import read_object
from dsocr.evaluation.omnidocbench.page import FormulaPair, Scores


def exchange(scores: Sequence[Scores], path: Path) -> list[Scores]:
    """The same scores, with CDM where the tool has measured the pairs of formulas that lie at `path`.

    The pairs are written where they are not there or were others; then what the tool said before no longer counts.
    """
    results = path.with_suffix("") / "metrics_res.json"
    if not _write_pairs(scores, path) and results.exists() and results.stat().st_mtime >= path.stat().st_mtime:
        return read_results(scores, results)
    return list(scores)


def _write_pairs(scores: Sequence[Scores], path: Path) -> bool:
    """Every formula and what was read for it, as the tool takes them; False where just these stand there already."""
    pairs = [
        {"img_id": name, "gt": pair.truth, "pred": pair.read} for page in _named(scores) for name, pair in page.items()
    ]
    text = json.dumps(pairs, ensure_ascii=False, indent=1) + "\n"
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise FileAccessError(f"{path} cannot be written: {error.strerror}") from None
    return True


def read_results(scores: Sequence[Scores], path: Path) -> list[Scores]:
    """The same scores with the F1 of each formula from the tool's metrics_res.json.

    As in the tool, a formula of the truth that it cannot draw has no score. InputError where the file tells of other
    formulas: then it was made for other predictions.
    """
    details = read_object(path).entry("details")
    names = {name for page in _named(scores) for name in page}
    strange = next((name for name in details.fields if name not in names), None)
    if strange is not None or not details.fields:
        raise InputError(f"{path}: these are not results for these formulas; write the pairs and run the tool again")
    measured = [
        tuple(value for name in page if (value := details.entry(name).number("F1_score")) is not None)
        for page in _named(scores)
    ]
    return [replace(page, formula_cdm=values) for page, values in zip(scores, measured, strict=True)]


def _named(scores: Sequence[Scores]) -> Iterator[dict[str, FormulaPair]]:
    """The formulas of each page by their names for the tool; it cuts names at a point, so that images' do not serve."""
    for number, page in enumerate(scores, 1):
        yield {f"page{number}_formula{place}": pair for place, pair in enumerate(page.formulas, 1)}
