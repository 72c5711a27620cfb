"""Paths of declarative actions: text with `{name}`, each of which becomes one percent-encoded segment, `{name%2F}`,
which may contain an encoded `/`, and `{name...}`, which may become several segments."""

import re
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from connectors.wire.errors import InvalidRequest
from connectors.wire.join import climbs
from durable.expressions.url import is_dots
from durable.values import JSON
from durable.wording import name_kind, quote

_PLACEHOLDER = re.compile(r"\{([^{}]*?)(\.\.\.|%2F)?\}")


class PathInput(NamedTuple):
    """An input in a path. `suffix` says what happens to a `/` in its value: it is refused, sent as `%2F`, or ends a
    segment (`...`)."""

    name: str
    suffix: str = ""


class PathTemplate:
    """A compiled path: literal texts and inputs."""

    def __init__(self, text: str) -> None:
        """Raise `ValueError` if the text is not a path."""
        self.parts: list[str | PathInput] = []
        done = 0
        for found in _PLACEHOLDER.finditer(text):
            if not found[1]:
                raise ValueError("the braces in the path are empty; write the name of an input in them")
            self.parts += [text[done : found.start()], PathInput(found[1], found[2] or "")]
            done = found.end()
        self.parts.append(text[done:])
        literal = "".join(part for part in self.parts if isinstance(part, str))
        if "{" in literal or "}" in literal:
            raise ValueError("the path has a brace without its counterpart")
        if any(map(is_dots, text.partition("?")[0].split("/"))):
            raise ValueError("the path has a segment '.' or '..', which services resolve")

    @property
    def inputs(self) -> list[PathInput]:
        return [part for part in self.parts if isinstance(part, PathInput)]

    def render(self, inputs: Mapping[str, JSON]) -> str:
        """Return the path with its inputs; raises `InvalidRequest`."""
        if len(self.parts) == 1:
            return str(self.parts[0])
        made = "".join([part if isinstance(part, str) else _encode_input(part, inputs) for part in self.parts])
        path = made.partition("?")[0]
        is_doubtful = ".." in path or "%25" in path  # what services may decode once more
        if any(map(is_dots, path.split("/"))) or (is_doubtful and climbs(path)):
            raise InvalidRequest("the inputs give the path a segment '.' or '..', which leads to another resource")
        return made


def _encode_input(part: PathInput, inputs: Mapping[str, JSON]) -> str:
    value = inputs.get(part.name)
    if value is None or isinstance(value, dict | list):
        raise _refuse(part, f"is part of the path and must be text, not {name_kind(value)}")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    segments = text.split("/")
    if "" in segments:
        raise _refuse(part, "would leave a segment of the path empty")
    if any(map(is_dots, segments)):
        raise _refuse(part, "would put '.' or '..' into the path, which leads to another resource")
    if len(segments) > 1 and not part.suffix:
        raise _refuse(part, "is one segment of the path and cannot contain '/'")
    try:
        return urllib.parse.quote(text, safe="/" if part.suffix == "..." else "")
    except UnicodeEncodeError:
        raise _refuse(part, "contains a lone surrogate, which no URL can contain") from None


def _refuse(part: PathInput, problem: str) -> InvalidRequest:
    return InvalidRequest(f"the input {quote(part.name)} {problem}")
