"""What the shape of a wait cannot tell: whether it ends, and what its inside is given."""

from collections.abc import Iterator

from durable.language.catalogue import Catalogue
from durable.language.document import Pointer
from durable.language.findings import Findings
from durable.language.fit import unfit
from durable.language.problem import quoted
from durable.language.schemas import schemas
from durable.language.texts import is_template
from durable.language.tree import Mapped, listed, mapped
from durable.values import JSON

ANY = "wait.any"

ENDS_BY_ITSELF = frozenset({"wait.delay", "wait.until"})
"""Waits that the clock ends: they need not say what happens when nothing comes."""


class WaitCheck:
    """Checks the steps that wait."""

    def __init__(self, findings: Findings, catalogue: Catalogue) -> None:
        self._findings = findings
        self._catalogue = catalogue

    def run(self, use: str, step: Mapped, pointer: Pointer) -> None:
        """Check a step with a `use` of `wait.…`."""
        self._ending(use, step, pointer)
        where = (*pointer, "with")
        given = mapped(step.get("with"))
        if use == ANY:
            self._several(given.get("waits"), (*where, "waits"))
            self._clashes(mapped(given.get("waits")), step.get("on_timeout"), (*where, "waits"))
        self._fields(use, given, where)

    def _ending(self, use: str, step: Mapped, pointer: Pointer) -> None:
        waits = mapped(mapped(step.get("with")).get("waits")) if use == ANY else {}
        if "on_timeout" in step and "timeout" not in step:
            hint = "say how long it waits, for example 'timeout: 2d'"
            what = "'on_timeout' without 'timeout' never happens"
            self._findings.add((*pointer, "on_timeout"), what, hint, is_key=True)
        elif "on_timeout" not in step and ENDS_BY_ITSELF.isdisjoint({use, *_used(waits)}):
            hint = "add 'timeout: 2d' and 'on_timeout: fail', or a value or steps instead of fail"
            self._findings.add((*pointer, "use"), f"{quoted(use)} does not say what happens when nothing comes", hint)

    def _several(self, waits: JSON, pointer: Pointer) -> None:
        if is_template(waits):
            self._findings.add(pointer, "the waits cannot be made by an expression", _WRITTEN)
        if not isinstance(waits, dict):
            return  # the model refuses it
        if len(waits) == 1:
            what, hint = "a wait.any of one wait", "use that wait itself, or add another to 'waits'"
            self._findings.add(pointer, what, hint, is_key=True, severity="warning")
        for name, each in waits.items():
            self._one(each, (*pointer, name))

    def _clashes(self, waits: Mapped, steps: JSON, pointer: Pointer) -> None:
        """A wait and a step of `on_timeout` with one name would have one path, and so one link."""
        for step in listed(steps):
            name = mapped(step).get("id")
            if isinstance(name, str) and name in waits:
                what = f"{quoted(name)} is a step of 'on_timeout' as well"
                self._findings.add((*pointer, name), what, "rename one of them", is_key=True)

    def _one(self, each: JSON, pointer: Pointer) -> None:
        if is_template(each) or is_template(mapped(each).get("use")):
            where = pointer if is_template(each) else (*pointer, "use")
            self._findings.add(where, "a wait cannot be made by an expression", _WRITTEN)
        use, given, where = mapped(each).get("use"), mapped(mapped(each).get("with")), (*pointer, "with")
        model = self._catalogue.core.get(use) if isinstance(use, str) and use.startswith("wait.") else None
        if model is None or use == ANY:
            return  # the model refuses it
        if is_template(mapped(each).get("with")):
            self._findings.add(where, "the inputs as a whole cannot be made by an expression", _WRITTEN)
            return
        for found in unfit(model, given, is_open=is_template):
            self._findings.add((*where, *found.pointer), found.message, found.hint, is_key=found.is_key)
        self._fields(str(use), given, where)

    def _fields(self, use: str, given: Mapped, pointer: Pointer) -> None:
        if use == "wait.approval":
            for _ in schemas(mapped(given.get("fields")), (*pointer, "fields"), self._findings, may_be_open=True):
                pass


def _used(waits: Mapped) -> Iterator[str]:
    yield from (str(mapped(each).get("use")) for each in waits.values())


_WRITTEN = "write it out; each wait's own inputs may be expressions"
