"""What is known about each step of a file before a run: its position, the blocks around it, and its output."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from durable.blocks.syntax import Branch, Shows
from durable.known_values import KnownValue
from durable.language.catalogue import Catalogue
from durable.language.outputs import find_kept, find_links, find_returned
from durable.language.report import Report
from durable.language.steps import SYNTAX_BY_KEY, find_kind, list_branches
from durable.problem import Pointer
from durable.spec_model import Mapped, get_list, get_mapping
from durable.values import JSON


@dataclass(frozen=True, slots=True, eq=False)
class StepInfo:
    """A step's position in the file: its number in the order, and the blocks around it with the branch in each.

    `shows`: the output of a loop contains its inner steps.
    `output`: what is known about the step's output.
    `links`: the names of its links; empty if it has one link itself, None if it has no link.
    """

    id: str
    kind: str | None
    shows: Shows | None
    order: int
    line: int
    blocks: tuple[tuple["StepInfo", Branch], ...] = ()
    output: KnownValue = None
    links: Collection[str] | None = None
    has_condition: bool = False
    has_undo: bool = False

    @property
    def loops(self) -> list["StepInfo"]:
        """Return the loops around the step, outermost first."""
        return [block for block, _ in self.blocks if block.shows]

    @property
    def may_be_left_out(self) -> bool:
        """Whether some runs do not perform the step: it, or a block around it, is conditional."""
        return self.has_condition or any(block.has_condition or branch.may_be_left_out for block, branch in self.blocks)

    @property
    def ids(self) -> Iterator[str]:
        """Return its own id, and those of the blocks around it."""
        yield self.id
        yield from (block.id for block, _ in self.blocks)


def collect_steps(data: Mapped, report: Report, catalogue: Catalogue) -> dict[Pointer, StepInfo]:
    """Return every step of the file by its pointer."""
    found: dict[Pointer, StepInfo] = {}

    def place(steps: JSON, pointer: Pointer, blocks: tuple[tuple[StepInfo, Branch], ...]) -> None:
        for index, step in enumerate(get_list(steps)):
            here = (*pointer, index)
            if isinstance(step, dict):
                name, kind = step.get("id"), find_kind(step)
                info = StepInfo(
                    name if isinstance(name, str) else "",
                    kind,
                    SYNTAX_BY_KEY[kind].shows if kind else None,
                    len(found),
                    report.document.position(here)[0],
                    blocks,
                    _find_output(step, catalogue),
                    find_links(step),
                    has_condition="if" in step,
                    has_undo=_has_undo(step, catalogue),
                )
                found[here] = info
                for branch in list_branches(step, here):
                    place(branch.steps, branch.pointer, (*blocks, (info, branch)))

    place(data.get("steps"), ("steps",), ())
    place(data.get("on_failure"), ("on_failure",), ())
    return found


def _has_undo(step: Mapped, catalogue: Catalogue) -> bool:
    """Whether the step has an undo of its own, or its connector declares one. An action of a connector with errors may
    declare one."""
    if "undo" in step:
        return step["undo"] != "none"
    use = str(step.get("use"))
    action = catalogue.actions.get(use)
    return action.undo is not None if action else use.partition(".")[0] in catalogue.broken


def _find_output(step: Mapped, catalogue: Catalogue) -> KnownValue:
    use = step.get("use")
    return (
        find_kept(step, find_returned(use, get_mapping(step.get("with")), catalogue)) if isinstance(use, str) else None
    )
