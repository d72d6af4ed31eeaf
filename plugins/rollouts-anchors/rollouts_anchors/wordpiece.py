"""The word pieces of BERT (uncased), as all-MiniLM-L6-v2 reads text. Knows no model.

Written out here because it is sixty lines, and the usual library brings a downloader with it. The vocabulary is that
of bert-base-uncased (Google, Apache-2.0).
"""

from __future__ import annotations

import gzip
import unicodedata
from functools import lru_cache
from importlib.resources import files

MOST_TOKENS = 256
"""Tokens after which the model was trained to stop reading."""
_LONGEST_WORD = 100
_CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Each piece's number."""
    packed = (files("rollouts_anchors") / "data" / "bert-base-uncased.vocab.txt.gz").read_bytes()
    return {piece: number for number, piece in enumerate(gzip.decompress(packed).decode().splitlines())}


def token_ids(text: str) -> list[int]:
    """The numbers of the pieces of `text`, with the marks at both ends, at most `MOST_TOKENS`."""
    known = vocabulary()
    ids = [number for word in _words(text) for number in _pieces(word)]
    return [known["[CLS]"], *ids[: MOST_TOKENS - 2], known["[SEP]"]]


def _words(text: str) -> list[str]:
    out: list[str] = []
    for character in unicodedata.normalize("NFD", _cleaned(text).lower()):
        category = unicodedata.category(character)
        if category == "Mn":
            continue
        if _is_mark(character, category) or _is_cjk(character):
            out.append(f" {character} ")
        else:
            out.append(character)
    return "".join(out).split()


def _cleaned(text: str) -> str:
    return "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or (character not in "\0\ufffd" and not unicodedata.category(character).startswith("C"))
    )


def _is_mark(character: str, category: str) -> bool:
    return category.startswith("P") or (character.isascii() and not character.isalnum() and not character.isspace())


def _is_cjk(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _CJK)


@lru_cache(maxsize=100_000)
def _pieces(word: str) -> tuple[int, ...]:
    """The longest known pieces from the left; the unknown mark where that fails."""
    known = vocabulary()
    if len(word) > _LONGEST_WORD:
        return (known["[UNK]"],)
    found = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            number = known.get(word[start:end] if start == 0 else f"##{word[start:end]}")
            if number is not None:
                found.append(number)
                start = end
                break
        else:
            return (known["[UNK]"],)
    return tuple(found)
