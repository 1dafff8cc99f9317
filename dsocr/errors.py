"""The mistakes a person can make, each with one clear line and the exit code of its kind."""

from __future__ import annotations


class InputError(ValueError):
    """Something the person gave cannot be used; the message says what, where, and what to do."""

    exit_code = 2


class FileAccessError(InputError):
    """A file or folder may not be read or written."""

    exit_code = 5


class EncryptedError(InputError):
    """A document needs a password."""

    exit_code = 8
