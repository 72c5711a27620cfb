"""Which operations of a document become actions, and their names: `select` and `rename`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from connectors.openapi.operations import ListedOperation
from connectors.openapi.spec import SelectSpec
from durable.problem import DataProblem
from durable.wording import quote, suggest


def select_operations(operations: Sequence[ListedOperation], select: SelectSpec | None) -> list[ListedOperation]:
    """Return the operations that one of the patterns matches; all of them without patterns."""
    if select is None:
        return list(operations)
    return [each for each in operations if any(_matches(each, kind, pattern) for kind, _, pattern in _list(select))]


def rename_operations(operations: Iterable[ListedOperation], rename: Mapping[str, str]) -> list[ListedOperation]:
    """Return the operations with their new names."""
    return [replace(each, name=rename.get(each.name, each.name)) for each in operations]


def check_selection(
    operations: Sequence[ListedOperation], select: SelectSpec | None, rename: Mapping[str, str]
) -> Iterator[DataProblem]:
    """Return what is wrong with `select` and `rename`. A name that the document does not have (any more) is only a
    warning, so that an update of the document does not disable the connector."""
    for kind, index, pattern in _list(select) if select else ():
        if any(_matches(each, kind, pattern) for each in operations):
            continue
        known = {"names": {each.name for each in operations}, "tags": {tag for each in operations for tag in each.tags}}
        what = {"names": "name", "tags": "tag", "paths": "path"}[kind]
        hint = suggest(pattern, known.get(kind, {each.path for each in operations}))
        message = f"no operation of the document has the {what} {quote(pattern)}"
        yield DataProblem(("select", kind, index), message, hint, severity="warning")
    names = [each.name for each in select_operations(operations, select)]
    for old in rename:
        if old not in names:
            message = f"no selected operation has the name {quote(old)}"
            yield DataProblem(("rename", old), message, suggest(old, names), is_key=True, severity="warning")
    seen = {name for name in names if name not in rename}
    for old, new in rename.items():
        if old in names and new in seen:
            hint = f"rename that one as well, or choose another name for {quote(old)}"
            yield DataProblem(("rename", old), f"another operation has the name {quote(new)}", hint)
        seen.add(new)


def _list(select: SelectSpec) -> Iterator[tuple[str, int, str]]:
    for kind, patterns in (("names", select.names), ("tags", select.tags), ("paths", select.paths)):
        for index, pattern in enumerate(patterns):
            yield kind, index, pattern


def _matches(operation: ListedOperation, kind: str, pattern: str) -> bool:
    match kind:
        case "names":
            return fnmatchcase(operation.name, pattern)
        case "tags":
            return any(fnmatchcase(tag, pattern) for tag in operation.tags)
        case _:
            return fnmatchcase(operation.path, pattern)
