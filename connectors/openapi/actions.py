"""The actions of an imported document, each compiled when it is first used."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from connectors.declared.action import make_action
from connectors.openapi.document import OperationSkipped
from connectors.openapi.operations import CompiledOperation, ListedOperation
from connectors.yaml_form.schemas import remove_notes
from durable.action import Action
from durable.schema_model import make_model

Compile = Callable[[ListedOperation], CompiledOperation]
"""Compiles an operation; raises `OperationSkipped`."""


class ImportedActions(Mapping[str, Action]):
    """The actions of a document by name. To list them, all operations are compiled, since those that cannot be used are
    left out; GitHub's 1,200 take 0.2 s."""

    def __init__(self, operations: Sequence[ListedOperation], compile_operation: Compile) -> None:
        self._operations = {each.name: each for each in operations}
        self._compile = compile_operation
        self._compiled: dict[str, CompiledOperation | OperationSkipped] = {}
        self._made: dict[str, Action] = {}
        self.skipped = SkippedOperations(self)

    def __getitem__(self, name: str) -> Action:
        if name not in self._made:
            found = self.find(name)
            if not isinstance(found, CompiledOperation):
                raise KeyError(name)
            self._made[name] = _make_action(name, found)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._operations if isinstance(self.find(name), CompiledOperation))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and isinstance(self.find(name), CompiledOperation)

    @property
    def operations(self) -> Mapping[str, ListedOperation]:
        """All operations, also those that cannot be used."""
        return self._operations

    def find(self, name: str) -> CompiledOperation | OperationSkipped | None:
        """Return an operation, or why it cannot be used; None if there is none of this name."""
        if name not in self._compiled and name in self._operations:
            try:
                self._compiled[name] = self._compile(self._operations[name])
            except OperationSkipped as skipped:
                self._compiled[name] = skipped.with_traceback(None)
        return self._compiled.get(name)


class SkippedOperations(Mapping[str, str]):
    """Why operations are not actions, by name."""

    def __init__(self, actions: ImportedActions) -> None:
        self._actions = actions

    def __getitem__(self, name: str) -> str:
        found = self._actions.find(name)
        if not isinstance(found, OperationSkipped):
            raise KeyError(name)
        return str(found)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._actions.operations if isinstance(self._actions.find(name), OperationSkipped))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _make_action(name: str, operation: CompiledOperation) -> Action:
    """Make an action whose stored form has no descriptions: they change without changing what it does."""
    described = operation.declared.inputs
    declared = msgspec.structs.replace(operation.declared, inputs=remove_notes(described))
    made = make_action(name, declared, summary=operation.summary, idempotent=operation.idempotent, undo=operation.undo)
    return replace(made, input=make_model(f"{name}_input", described), output=operation.output or made.output)
