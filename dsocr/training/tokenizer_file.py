"""Writes the tokenizer.json of a small model: one id for every byte, no merges, and the special tokens."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from dsocr.model.tokenizer import BYTE_CHARACTERS

FIRST_TOKENS = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>")  # noqa: RUF001 - the published names
LAST_TOKENS = (
    "<image>",
    "<|ref|>",
    "<|/ref|>",
    "<|det|>",
    "<|/det|>",
    "<|grounding|>",
    "<td>",
    "</td>",
    "<tr>",
    "</tr>",
    "<|User|>",
    "<|Assistant|>",
)


def build_byte_tokenizer(path: str | Path) -> None:
    """Write a byte-level tokenizer.json: ids 0-2 are bos, eos and pad, byte b is id b + 3, then the other tokens."""
    vocabulary = {token: index for index, token in enumerate((*FIRST_TOKENS, *BYTE_CHARACTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    # Without merges no split of the text can change an id, so the words need no pattern.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_special(token) for token in (*FIRST_TOKENS, *LAST_TOKENS)])
    tokenizer.save(str(path))


def _special(token: str) -> AddedToken:
    return AddedToken(token, normalized=False, special=True)
