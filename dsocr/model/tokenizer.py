"""Text to ids and back: special tokens by name, prompts with places for pages, and text that streams."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders

from dsocr.errors import InputError
from dsocr.prompts import IMAGE


def _byte_characters() -> tuple[str, ...]:
    """The printable character that stands for each byte in a byte-level vocabulary."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    # GPT-2's table: printable Latin-1 stands for itself, the other 68 bytes take the characters from U+0100 on.
    spare = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()
BYTES = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


class Tokenizer:
    """A byte-level tokenizer.json; the ids of the special tokens are looked up by their published names.

    bos, eos, pad and image are ids; td holds the ids of `<td>` and `</td>`, which tables repeat rightfully.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._whole = _open(self.path)
        # Shares the vocabulary but knows no added token: what looks like a tag stays text.
        self._plain = tokenizers.Tokenizer(self._whole.model)
        if self._whole.normalizer is not None:
            self._plain.normalizer = self._whole.normalizer
        if self._whole.pre_tokenizer is not None:
            self._plain.pre_tokenizer = self._whole.pre_tokenizer
        self._pieces: dict[int, bytes] = {}
        added = self._whole.get_added_tokens_decoder()
        self.special_ids = frozenset(index for index, token in added.items() if token.special)
        self.bos = self.special_id("<｜begin▁of▁sentence｜>")  # noqa: RUF001 - the published name
        self.eos = self.special_id("<｜end▁of▁sentence｜>")  # noqa: RUF001 - the published name
        self.pad = self.special_id("<｜▁pad▁｜>")  # noqa: RUF001 - the published name
        self.image = self.special_id(IMAGE)
        self.td = frozenset({self.special_id("<td>"), self.special_id("</td>")})

    def __len__(self) -> int:
        """How many ids have a token; a network may hold more rows than that."""
        return self._whole.get_vocab_size()

    def special_id(self, name: str) -> int:
        """The id of a token by its name; InputError when the file has no such token."""
        index = self._whole.token_to_id(name)
        if index is None:
            raise InputError(f"{self.path} has no token {name!r}: it is not a tokenizer.json of this model")
        return index

    def encode(self, text: str, *, allow_special: bool = True) -> list[int]:
        """The ids of a text, without bos; with allow_special=False a tag in it is read as plain characters."""
        tokenizer = self._whole if allow_special else self._plain
        return tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD, ids without a token become nothing."""
        decoder = IncrementalDecoder(self, skip_special)
        return "".join(map(decoder.push, ids)) + decoder.finish()

    def prompt_ids(self, prompt: str, image_places: Sequence[int]) -> list[int]:
        """Bos, then the prompt, with as many image ids in place of each `<image>` as that page takes places."""
        first, *others = prompt.split(IMAGE)
        if len(others) != len(image_places):
            raise InputError(f"the prompt has {len(others)} {IMAGE} for {len(image_places)} images: write one for each")
        ids = [self.bos, *self.encode(first)]
        for places, text in zip(image_places, others, strict=True):
            ids += [self.image] * places + self.encode(text)
        return ids

    def piece(self, index: int) -> bytes:
        """The bytes that one id stands for: maybe a part of a character, maybe none."""
        if index not in self._pieces:
            token = self._whole.id_to_token(index) if index >= 0 else None
            self._pieces[index] = _token_bytes(token or "")
        return self._pieces[index]


class IncrementalDecoder:
    """Text from ids as they come, never half a character; all of it joined is `decode` of all the ids."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special else frozenset()
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, index: int) -> str:
        """The characters that this id completes, possibly none."""
        return "" if index in self._skipped else self._characters.decode(self._tokenizer.piece(index))

    def finish(self) -> str:
        """What is left when no more ids come: U+FFFD for a character cut off, else nothing."""
        return self._characters.decode(b"", final=True)


def _open(path: Path) -> tokenizers.Tokenizer:
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"cannot read the tokenizer {path}: {error}") from error
    if not isinstance(tokenizer.decoder, decoders.ByteLevel):
        raise InputError(f"{path} is not byte-level: a tokenizer.json of this model has a ByteLevel decoder")
    return tokenizer


def _token_bytes(token: str) -> bytes:
    """A token of the byte alphabet as the bytes it spells, any other token as its own text."""
    if all(character in BYTES for character in token):
        return bytes(BYTES[character] for character in token)
    return token.encode()
