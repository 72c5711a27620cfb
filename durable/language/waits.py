"""What the shape of a wait cannot tell: whether it ends, and what its inside is given."""

from collections.abc import Iterator

from durable.blocks.syntax import Mapped, get_list, get_mapping
from durable.language.catalogue import Catalogue
from durable.language.report import Report
from durable.language.schemas import compile_schemas
from durable.language.texts import is_template
from durable.language.validation import find_data_problems
from durable.problem import Pointer
from durable.values import JSON
from durable.wording import quote

ANY = "wait.any"

ENDS_BY_ITSELF = frozenset({"wait.delay", "wait.until"})
"""Waits that the clock ends: they need not say what happens when nothing comes."""


class WaitCheck:
    """Checks the steps that wait."""

    def __init__(self, findings: Report, catalogue: Catalogue) -> None:
        self._report = findings
        self._catalogue = catalogue

    def run(self, use: str, step: Mapped, pointer: Pointer) -> None:
        """Check a step with a `use` of `wait.…`."""
        self._check_ending(use, step, pointer)
        where = (*pointer, "with")
        given = get_mapping(step.get("with"))
        if use == ANY:
            self._check_several(given.get("waits"), (*where, "waits"))
            self._check_clashes(get_mapping(given.get("waits")), step.get("on_timeout"), (*where, "waits"))
        self._check_fields(use, given, where)

    def _check_ending(self, use: str, step: Mapped, pointer: Pointer) -> None:
        waits = get_mapping(get_mapping(step.get("with")).get("waits")) if use == ANY else {}
        if "on_timeout" in step and "timeout" not in step:
            hint = "say how long it waits, for example 'timeout: 2d'"
            what = "'on_timeout' without 'timeout' never happens"
            self._report.add((*pointer, "on_timeout"), what, hint, is_key=True)
        elif "on_timeout" not in step and ENDS_BY_ITSELF.isdisjoint({use, *_list_uses(waits)}):
            hint = "add 'timeout: 2d' and 'on_timeout: fail', or a value or steps instead of fail"
            self._report.add((*pointer, "use"), f"{quote(use)} does not say what happens when nothing comes", hint)

    def _check_several(self, waits: JSON, pointer: Pointer) -> None:
        if is_template(waits):
            self._report.add(pointer, "the waits cannot be made by an expression", _WRITTEN)
        if not isinstance(waits, dict):
            return  # the model refuses it
        if len(waits) == 1:
            what, hint = "a wait.any of one wait", "use that wait itself, or add another to 'waits'"
            self._report.add(pointer, what, hint, is_key=True, severity="warning")
        for name, each in waits.items():
            self._check_one(each, (*pointer, name))

    def _check_clashes(self, waits: Mapped, steps: JSON, pointer: Pointer) -> None:
        """A wait and a step of `on_timeout` with one name would have one path, and so one link."""
        for step in get_list(steps):
            name = get_mapping(step).get("id")
            if isinstance(name, str) and name in waits:
                what = f"{quote(name)} is a step of 'on_timeout' as well"
                self._report.add((*pointer, name), what, "rename one of them", is_key=True)

    def _check_one(self, each: JSON, pointer: Pointer) -> None:
        if is_template(each) or is_template(get_mapping(each).get("use")):
            where = pointer if is_template(each) else (*pointer, "use")
            self._report.add(where, "a wait cannot be made by an expression", _WRITTEN)
        use, given, where = get_mapping(each).get("use"), get_mapping(get_mapping(each).get("with")), (*pointer, "with")
        model = self._catalogue.core.get(use) if isinstance(use, str) and use.startswith("wait.") else None
        if model is None or use == ANY:
            return  # the model refuses it
        if is_template(get_mapping(each).get("with")):
            self._report.add(where, "the inputs as a whole cannot be made by an expression", _WRITTEN)
            return
        for found in find_data_problems(model, given, is_open=is_template):
            self._report.add((*where, *found.pointer), found.message, found.hint, is_key=found.is_key)
        self._check_fields(str(use), given, where)

    def _check_fields(self, use: str, given: Mapped, pointer: Pointer) -> None:
        if use == "wait.approval":
            for _ in compile_schemas(
                get_mapping(given.get("fields")), (*pointer, "fields"), self._report, may_be_open=True
            ):
                pass


def _list_uses(waits: Mapped) -> Iterator[str]:
    yield from (str(get_mapping(each).get("use")) for each in waits.values())


_WRITTEN = "write it out; each wait's own inputs may be expressions"
