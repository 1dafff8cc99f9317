"""`python -m dsocr` and the `dsocr` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from dsocr.cli import app

    app()


if __name__ == "__main__":
    main()
