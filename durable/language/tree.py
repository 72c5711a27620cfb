"""The tree of steps in a file's data, whatever else is wrong with it: blocks and their branches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from durable.problem import Pointer
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
        return get_list(self.owner.get(self.key))

    @property
    def pointer(self) -> Pointer:
        return (*self.owner_pointer, self.key)


def get_mapping(value: JSON) -> Mapped:
    """The value if it is a mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def get_list(value: JSON) -> list[JSON]:
    """The value if it is a list, or an empty one."""
    return value if isinstance(value, list) else []


def list_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    """The sequences inside a step, in the order in which they are performed."""
    found: list[tuple[BranchKind, str, JSON, Pointer, str]] = [
        *(
            ("case", f"case {i + 1}", case, ("switch", i), "steps")
            for i, case in enumerate(get_list(step.get("switch")))
        ),
        ("else", "else", step, (), "else"),
        ("turn", "steps", step, (), "steps"),
        *(("parallel", name, step["parallel"], ("parallel",), name) for name in get_mapping(step.get("parallel"))),
        ("try", "try", step, (), "try"),
        *(
            ("catch", f"catch {i + 1}", each, ("catch", i), "steps")
            for i, each in enumerate(get_list(step.get("catch")))
        ),
        ("finally", "finally", step, (), "finally"),
        ("on_timeout", "on_timeout", step, (), "on_timeout"),
    ]
    for kind, label, owner, path, key in found:
        if isinstance(owner, dict) and (isinstance(owner.get(key), list) or kind in {"case", "catch"}):
            yield Branch(kind, label, owner, (*pointer, *path), key)


def walk_steps(steps: JSON, pointer: Pointer) -> Iterator[tuple[Mapped, Pointer]]:
    """All steps of a sequence and of what is inside them."""
    for index, step in enumerate(get_list(steps)):
        if isinstance(step, dict):
            yield step, (*pointer, index)
            for branch in list_branches(step, (*pointer, index)):
                yield from walk_steps(branch.steps, branch.pointer)
