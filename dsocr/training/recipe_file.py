"""Reads a recipe from a TOML file; an unknown or ill-typed key is one clear line."""

from __future__ import annotations

import importlib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from dsocr.errors import InputError
from dsocr.training.recipe import Recipe

OWN_RECIPES = {name: Path(__file__).with_name(f"{name}.toml") for name in ("nano", "nano-gpu")}
_Made = TypeVar("_Made")
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def read_recipe(file: Path, changed: Mapping[str, object]) -> Recipe:
    """The recipe in a file with some of its top keys changed; Recipe and Stage say what each key means."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {file} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return parse_recipe(text, str(file), changed)


def parse_recipe(text: str, said: str, changed: Mapping[str, object]) -> Recipe:
    """TOML → Recipe, checked. Raises InputError."""
    toml = _toml()
    try:
        found = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise InputError(f"{said} is not TOML: {error}") from None
    recipe = _made(Recipe, {**found, **changed}, said)
    recipe.check()
    return recipe


def one_stage(top: Mapping[str, object], stage: Mapping[str, object], mode: str) -> Recipe:
    """A recipe without a file: the pairs in one stage, read in one mode. Raises InputError."""
    if "folder" not in top:
        raise InputError("where to? give the checkpoint's folder: --folder DIR")
    usual = {"name": "teach", "steps": 300, "learning_rate": 1e-3 if top.get("lora") else 2e-4, "batch": 2, "sam": True}
    recipe = _made(Recipe, {**top, "stage": [{**usual, **stage, "modes": {mode: 1.0}}]}, "options")
    recipe.check()
    return recipe


def _toml() -> Any:
    """Python's reader of TOML, or its forerunner in Python 3.10."""
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise InputError("Python 3.10 reads no TOML: pip install tomli, or use a newer Python")


def _made(kind: type[_Made], found: Mapping[str, object], said: str) -> _Made:
    """A dataclass from a table, each value of the type that its field says."""
    assert is_dataclass(kind)
    known = {field.name: field for field in fields(kind)}
    unknown = [key for key in found if key not in known]
    if unknown:
        raise InputError(f"{said}: {unknown[0]!r} is unknown; known: {', '.join(known)}")
    needed = [name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    missing = [name for name in needed if name not in found]
    if missing:
        raise InputError(f"{said}: {missing[0]!r} is missing")
    hints = get_type_hints(kind)
    return kind(**{key: _value(value, hints[key], f"{said}: {key}") for key, value in found.items()})


def _value(value: Any, hint: Any, said: str) -> Any:
    """The value as its field has it; InputError where it is of another type."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return _made(hint, value, said)
    if origin in (types.UnionType, typing.Union):
        return _value(value, inner[0], said)
    if origin is Literal:
        if value in inner:
            return value
        raise InputError(f"{said} is {value!r}; known: {', '.join(inner)}")
    if origin is tuple and isinstance(value, list):
        if inner[-1] is not ... and len(value) != len(inner):
            raise InputError(f"{said} is {value!r}; it must have {len(inner)} values")
        return tuple(_value(each, inner[0], f"{said}, {number}") for number, each in enumerate(value, 1))
    if origin is Mapping and isinstance(value, dict):
        return {_key(key, inner[0], said): _value(each, inner[1], f"{said}.{key}") for key, each in value.items()}
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value).expanduser()
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is hint:
        return value
    wanted = _WORDS.get(hint, "a list" if origin is tuple else "a table")
    raise InputError(f"{said} is {value!r}; it must be {wanted}")


def _key(key: str, hint: type, said: str) -> str | int:
    """Keys of TOML tables are texts, also where they are numbers."""
    if hint is str:
        return key
    if not key.isdecimal():
        raise InputError(f"{said}: key {key!r} must be a whole number")
    return int(key)
