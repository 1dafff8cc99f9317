"""The page about benchmarks says what the code does."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def test_every_example_of_the_page_comes_out_as_it_says():
    examples = PAGE.read_text(encoding="utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(examples, {}, "benchmarks", str(PAGE), 0)
    wrong: list[str] = []
    results = doctest.DocTestRunner().run(test, out=wrong.append)
    assert results.attempted > 20
    assert not wrong
