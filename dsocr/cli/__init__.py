from dsocr.cli.commands import app as app
