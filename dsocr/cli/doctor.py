"""`dsocr doctor`: whether this machine can read pages, and what to do where it can't."""

from __future__ import annotations

from typing import Annotated

import typer

from dsocr.cli.console import leave, to_stdout
from dsocr.cli.options import Device, Dtype, Model


def doctor(
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One object with all that was found.")] = False,
) -> None:
    """Look whether this machine can read pages, and say what to do where it can't.

    Takes some seconds, on a slow machine a minute. Nothing is downloaded.

    Exit codes: 0 all is well, 1 something is in the way.
    """

    def work() -> int:
        import json
        from dataclasses import asdict

        from dsocr.doctor import Wishes, examine, exit_code, tell

        checks = []
        for check in examine(Wishes(model, device, dtype)):
            checks.append(check)
            if not as_json:
                to_stdout(f"{tell(check)}\n")
        code = exit_code(checks)
        if as_json:
            found = {"well": code == 0, "checks": [asdict(check) for check in checks]}
            to_stdout(f"{json.dumps(found, indent=2)}\n")
        return code

    leave(work)
