"""The words of a JSON Schema that look like a slip of a known one, such as `typ`.

Words that the draft does not know are free, so that only those are told which are one letter, two letters exchanged,
or the way of writing away from a known one.
"""

from collections.abc import Iterator

from durable.language.metaschema import make_metaschema
from durable.problem import Pointer
from durable.values import JSON

_WORDS = make_metaschema("it")["properties"]
_FREE = frozenset({"additionalItems", "definitions", "dependencies", "example", "maxContains", "minContains"})
"""Words of other drafts and of OpenAPI, or of this draft and rare; those of one's own begin with `x-`."""

_MEANT = {word.lower(): word for word in _WORDS if word not in {"if", "then", "else", "not"}}
"""The words that may be meant, in small letters. Those of conditions are near to too many words that are free."""


def find_slips(schema: JSON, pointer: Pointer) -> Iterator[tuple[Pointer, str]]:
    """Where such words stand, and what each is likely meant to be."""
    if not isinstance(schema, dict):
        return
    for word, part in schema.items():
        where = (*pointer, word)
        if word not in _WORDS:
            meant = None if word in _FREE or word.startswith("x-") else _find_meant(word)
            if meant and meant not in schema:
                yield where, meant
            continue
        for inner, at in _list_subschemas(word, part, where):
            yield from find_slips(inner, at)


def _list_subschemas(word: str, part: JSON, pointer: Pointer) -> Iterator[tuple[JSON, Pointer]]:
    """The schemas that stand under a word."""
    match _WORDS[word], part:
        case {"$ref": _}, _:
            yield part, pointer
        case {"items": {"$ref": _}}, list():
            yield from ((each, (*pointer, index)) for index, each in enumerate(part))
        case {"additionalProperties": {"$ref": _}}, dict():
            yield from ((each, (*pointer, name)) for name, each in part.items())


def _find_meant(word: str) -> str | None:
    plain = word.lower().replace("_", "").replace("-", "")
    return next((meant for known, meant in _MEANT.items() if _is_slip(plain, known)), None)


def _is_slip(word: str, known: str) -> bool:
    """Whether one letter is missing, too many or another, or two are exchanged."""
    if abs(len(word) - len(known)) > 1:
        return False
    while word and known and word[0] == known[0]:
        word, known = word[1:], known[1:]
    while word and known and word[-1] == known[-1]:
        word, known = word[:-1], known[:-1]
    return (len(word) < 2 and len(known) < 2) or (len(known) == 2 and word == known[::-1])
