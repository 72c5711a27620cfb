"""Reads YAML documents of many megabytes into plain data, without the positions that `durable.yaml` keeps.

Keys are texts as they are written (`200:` is the text 200), scalars follow the YAML 1.2 core schema. Built from the
parser's events, which takes a third of the time of a loader of PyYAML, and nesting cannot exhaust the stack.

    UnreadableYaml      the text is not YAML, or more than the limit
"""

from dataclasses import dataclass, field

import yaml

from durable.values import JSON
from durable.yaml.document import FASTEST_LOADER
from durable.yaml.scalars import MisleadingScalar, parse_scalar

VALUES_LIMIT = 3_000_000
"""The maximum number of values of a document, each alias counted with all that it repeats."""

DEPTH_LIMIT = 150
"""The maximum depth of lists and mappings."""


class UnreadableYaml(ValueError):
    """The text cannot be read; the message says why, and `line` where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class _Container:
    """A list or mapping that is being read. `size`: how many values it has so far, itself included."""

    value: list[JSON] | dict[str, JSON]
    anchor: str | None = None
    key: str | None = None
    size: int = 1


@dataclass(slots=True)
class _Reader:
    root: JSON = None
    open: list[_Container] = field(default_factory=list)
    anchors: dict[str, tuple[JSON, int]] = field(default_factory=dict)
    documents: int = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._take_scalar(event)
            case yaml.MappingStartEvent():
                self.open.append(_Container({}, event.anchor))
            case yaml.SequenceStartEvent():
                self.open.append(_Container([], event.anchor))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                ended = self.open.pop()
                if ended.anchor:
                    self.anchors[ended.anchor] = ended.value, ended.size
                self._put(ended.value, ended.size, event)
            case yaml.AliasEvent():
                if event.anchor not in self.anchors:
                    raise UnreadableYaml(f"the alias *{event.anchor} has no anchor before it", _line_of(event))
                self._put(*self.anchors[event.anchor], event)
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise UnreadableYaml("it contains a second YAML document", _line_of(event))
        if len(self.open) > DEPTH_LIMIT:
            raise UnreadableYaml(f"it is nested deeper than {DEPTH_LIMIT} levels", _line_of(event))

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        parent = self.open[-1] if self.open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            parent.key = event.value
            return
        value: JSON = event.value
        if event.implicit[0]:
            try:
                value = parse_scalar(event.value)
            except MisleadingScalar:
                value = event.value
        if event.anchor:
            self.anchors[event.anchor] = value, 1
        self._put(value, 1, event)

    def _put(self, value: JSON, size: int, event: yaml.Event) -> None:
        if not self.open:
            self.root = value
            return
        parent = self.open[-1]
        parent.size += size
        if parent.size > VALUES_LIMIT:
            raise UnreadableYaml(f"it has more than {VALUES_LIMIT:,} values", _line_of(event))
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            raise UnreadableYaml("a list or mapping cannot be a key", _line_of(event))
        else:
            parent.value[parent.key] = value
            parent.key = None


def read_yaml(text: str) -> JSON:
    """Return the data of a YAML text; raises `UnreadableYaml`."""
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=FASTEST_LOADER):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableYaml(
            f"it is not YAML: {error.problem or error.context}", mark.line + 1 if mark else 1
        ) from None
    except yaml.YAMLError as error:
        raise UnreadableYaml(f"it is not YAML: {str(error).partition(chr(10))[0]}", 1) from None
    return reader.root


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
