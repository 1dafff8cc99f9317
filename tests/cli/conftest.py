"""What tests of the command line share: its commands, put together once for all runs in this process."""

from __future__ import annotations

from functools import cache

import pytest
from typer.main import get_command


@pytest.fixture(scope="session", autouse=True)
def commands_at_hand():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command), raising=False)
        yield
