"""What one can ask for: the prompts the model was trained on, by name."""

from __future__ import annotations

import re

from dsocr.errors import InputError

IMAGE = "<image>"
LOCATE = "locate"
PROMPTS = {
    "document": "<image>\n<|grounding|>Convert the document to markdown.",
    "ocr": "<image>\n<|grounding|>OCR this image.",
    "free": "<image>\nFree OCR.",
    "figure": "<image>\nParse the figure.",
    "describe": "<image>\nDescribe this image in detail.",
    LOCATE: "<image>\nLocate <|ref|>TEXT<|/ref|> in the image.",
}
# Tags are written with ASCII bars or with the full-width bars of the base model's tokens.
TAG = re.compile(r"<[|\uff5c][^<>]*[|\uff5c]>|</?(?:image|td|tr)>")


def resolve_prompt(name_or_text: str, *, with_image: bool = True) -> str:
    """The full prompt for a name, for `locate:TEXT`, or for a text of one's own, stripped at both ends.

    Names do not mind capitals. A text of one's own keeps its tags; when it has no `<image>` and with_image is
    set, the image goes in front. Raises InputError for an empty prompt, a locate without text, tags in that
    text (they would pose as the prompt's own), and characters that no file can hold.
    """
    asked = _checked(name_or_text.strip())
    name, colon, text = asked.partition(":")
    if name.strip().casefold() == LOCATE and (colon or not text):
        return PROMPTS[LOCATE].replace("TEXT", _target(text.strip()))
    known = PROMPTS.get(asked.casefold())
    if known is not None:
        return known
    return f"{IMAGE}\n{asked}" if with_image and IMAGE not in asked else asked


def labels_are_text(prompt: str) -> bool:
    """Whether the answer to a full prompt writes what it reads inside `<|ref|>`, where layout labels stand else."""
    return prompt == PROMPTS["ocr"] or prompt.startswith(PROMPTS[LOCATE].partition("<|ref|>")[0])


def _checked(asked: str) -> str:
    if not asked:
        raise InputError(f"the prompt is empty; write what to do, or one of: {', '.join(PROMPTS)}")
    try:
        asked.encode()
    except UnicodeEncodeError:
        raise InputError(f"the prompt {asked!r} has half a surrogate pair; write it in UTF-8") from None
    return asked


def _target(text: str) -> str:
    """What to look for, as it may stand between the prompt's own tags."""
    if not text:
        raise InputError("prompt 'locate' needs what to look for: locate:TEXT")
    tag = TAG.search(text)
    if tag:
        raise InputError(f"{tag[0]} in 'locate:{text}' would pose as a tag of the prompt; leave it out")
    return text
