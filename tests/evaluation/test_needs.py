"""A library that is not there is one line that says how to get it."""

from __future__ import annotations

import pytest

from dsocr.errors import InputError
from dsocr.evaluation.needs import need


def test_what_is_there_is_brought_in():
    assert need("json.decoder").JSONDecoder


def test_what_is_not_there_is_named_with_the_way_to_get_it():
    with pytest.raises(InputError) as caught:
        need("no_such_library.part")
    assert str(caught.value) == "to score benchmarks, no_such_library is needed: pip install 'dsocr[eval]'"
