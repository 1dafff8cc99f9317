"""The command line, a file for each command."""

from dsocr.cli.commands import app as app
