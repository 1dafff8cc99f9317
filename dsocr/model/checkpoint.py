"""Where checkpoints lie: nano in the package, a folder, or a name on the hub with its cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dsocr.errors import InputError
from dsocr.model.weights import weight_files

NANO = "nano"
PUBLISHED = "deepseek-ai/DeepSeek-OCR"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = ["config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json"]


def default_checkpoint() -> str:
    """The published checkpoint when it is on this machine already, else nano."""
    # The hub's client takes a fifth of a second to import.
    return PUBLISHED if os.path.isdir(hub_folder(PUBLISHED)) and cached_checkpoint(PUBLISHED) else NANO


def find_checkpoint(name: str) -> Path:
    """The folder of `nano`, of a folder itself, or of a hub name, which is downloaded when it is not cached.

    Raises InputError when there is no such thing, or no way to the hub.
    """
    if name == NANO:
        return Path(__file__).parents[1] / "nano"
    folder = os.path.expanduser(name)
    if os.path.isdir(folder):
        return Path(folder)
    if not _HUB_NAME.fullmatch(name):
        raise InputError(f"model {name!r} is no folder here: give nano, a folder, or a hub name such as {PUBLISHED}")
    return cached_checkpoint(name) or pull_checkpoint(name)


def cached_checkpoint(name: str) -> Path | None:
    """The folder of a hub name if it is on this machine and whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
        weight_files(folder)
    except (LocalEntryNotFoundError, HfHubHTTPError, InputError, OSError, ValueError):
        return None
    whole = (folder / "config.json").is_file() and (folder / "tokenizer.json").is_file()
    return folder if whole else None


def hub_folder(name: str) -> Path:
    """Where the hub's client keeps what it has of a name."""
    asked = os.environ
    cache = asked.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = asked.get("HF_HOME") or os.path.join(cache, "huggingface")
    folder = asked.get("HF_HUB_CACHE") or asked.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expanduser(os.path.expandvars(folder))) / f"models--{name.replace('/', '--')}"


def pull_checkpoint(name: str) -> Path:
    """Download a checkpoint into the hub cache, less the files that are whole already; progress on stderr."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    if not _HUB_NAME.fullmatch(name):
        raise InputError(f"model {name!r} has no name that the hub could know: one is {PUBLISHED}")
    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES))
    except RepositoryNotFoundError:
        raise InputError(f"model {name!r} is not on the hub, or is private: check the name, or log in") from None
    except (TypeError, AttributeError):
        raise
    except Exception as error:  # the hub client's HTTP library, and so its errors, differ between versions
        raise InputError(
            f"model {name!r} is no folder here, and the hub did not give it ({type(error).__name__}): run "
            f"`dsocr pull {name}` again with a network, or copy the checkpoint here and give its folder as --model"
        ) from None
    weight_files(folder)
    return folder
