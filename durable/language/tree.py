"""The tree of steps in a file's data, whatever else is wrong with it: blocks and their branches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from durable.language.document import Pointer
from durable.values import JSON

Mapped: TypeAlias = "dict[str, JSON]"
BranchKind: TypeAlias = Literal["case", "else", "turn", "parallel", "try", "catch", "finally", "on_timeout"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A sequence of steps inside a step. `label` tells it from the others; `owner` is the mapping that holds it."""

    kind: BranchKind
    label: str
    owner: Mapped
    owner_pointer: Pointer
    key: str

    @property
    def steps(self) -> list[JSON]:
        return listed(self.owner.get(self.key))

    @property
    def pointer(self) -> Pointer:
        return (*self.owner_pointer, self.key)


def mapped(value: JSON) -> Mapped:
    """The value if it is a mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: JSON) -> list[JSON]:
    """The value if it is a list, or an empty one."""
    return value if isinstance(value, list) else []


def branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    """The sequences inside a step, in the order in which they are performed."""
    found: list[tuple[BranchKind, str, JSON, Pointer, str]] = [
        *(("case", f"case {i + 1}", case, ("switch", i), "steps") for i, case in enumerate(listed(step.get("switch")))),
        ("else", "else", step, (), "else"),
        ("turn", "steps", step, (), "steps"),
        *(("parallel", name, step["parallel"], ("parallel",), name) for name in mapped(step.get("parallel"))),
        ("try", "try", step, (), "try"),
        *(("catch", f"catch {i + 1}", each, ("catch", i), "steps") for i, each in enumerate(listed(step.get("catch")))),
        ("finally", "finally", step, (), "finally"),
        ("on_timeout", "on_timeout", step, (), "on_timeout"),
    ]
    for kind, label, owner, path, key in found:
        if isinstance(owner, dict) and (isinstance(owner.get(key), list) or kind in {"case", "catch"}):
            yield Branch(kind, label, owner, (*pointer, *path), key)


def every_step(steps: JSON, pointer: Pointer) -> Iterator[tuple[Mapped, Pointer]]:
    """All steps of a sequence and of what is inside them."""
    for index, step in enumerate(listed(steps)):
        if isinstance(step, dict):
            yield step, (*pointer, index)
            for branch in branches(step, (*pointer, index)):
                yield from every_step(branch.steps, branch.pointer)
