"""`python -m dsocr` and the `dsocr` command."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line: whenever it is stopped from here on, and whatever it writes to, it ends in one line."""
    open_streams()
    wait_asleep()
    with suppress(ValueError):  # only the main thread may say what a signal does
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is as Ctrl-C
    try:
        from dsocr.cli import app

        app()
    except KeyboardInterrupt:  # before a command has begun, which says so itself
        with suppress(OSError):
            print("dsocr: interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # of what was to be told in the place of a command, such as help
        from dsocr.cli.console import give_up

        sys.exit(give_up(error))
    finally:
        with suppress(ValueError):  # On the way out nothing is left to interrupt.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def open_streams() -> None:
    """Streams that were closed before the start lead nowhere: no file takes their place, no word another's way."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # or in a child a file would take its place
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it is never written to with success
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays to the end


def wait_asleep() -> None:
    """Threads (GNU's OpenMP) that wait for each other sleep soon, unless they were told how to wait.

    By themselves those of PyTorch and the core spin for milliseconds at every small product: where others want the
    processor too, that can take ten times as long as the work. To be said before PyTorch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


if __name__ == "__main__":
    main()
