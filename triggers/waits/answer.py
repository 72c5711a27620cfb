"""An answer as the run gets it: what a person or a program said, held against what was asked.

Unfit   what was said does not fit; `misfits` say where and why, all of them
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import jsonschema_rs

from durable.problem import quote, suggest
from durable.schema import CompiledSchema
from durable.values import JSON

MISFITS_LIMIT = 20
DETAIL_LIMIT = 300
"""How many misfits are told, and how many characters of each."""


class Misfit(NamedTuple):
    """One thing that does not fit: its place, such as `fields.amount`, and why."""

    name: str
    detail: str


class Unfit(ValueError):
    """An answer does not fit what was asked."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__("; ".join(f"`{name}`: {detail}" for name, detail in misfits))
        self.misfits = tuple(misfits)


def approval(
    schemas: Mapping[str, JSON] | None,
    *,
    approved: bool,
    by: str,
    comment: str | None,
    fields: Mapping[str, JSON],
    at: int,
) -> dict[str, JSON]:
    """A person's decision; raises `Unfit`. Who rejects need not fill anything in."""
    known = schemas or {}
    wrong = list(islice(_misfits(known, fields, is_complete=approved), MISFITS_LIMIT))
    if wrong:
        raise Unfit(wrong)
    filled = {**(_defaults(known) if approved else {}), **fields}
    return {"approved": approved, "by": by, "comment": comment, "fields": filled, "at": at}


def request(
    body: JSON, *, query: Mapping[str, JSON], headers: Mapping[str, JSON], method: str, at: int
) -> dict[str, JSON]:
    """What came to a wait for a webhook."""
    return {"body": body, "query": dict(query), "headers": dict(headers), "method": method, "at": at}


def _misfits(schemas: Mapping[str, JSON], given: Mapping[str, JSON], *, is_complete: bool) -> Iterator[Misfit]:
    for name in given:
        if name not in schemas:
            hint = suggest(name, schemas) or "leave it out"
            yield Misfit(f"fields.{quote(name)[1:-1]}", f"there is no such name; {hint}")
    defaults = _defaults(schemas)
    for name, schema in schemas.items():
        if name in given:
            yield from _misfits_in(name, schema, given[name])
        elif is_complete and name not in defaults:
            yield Misfit(f"fields.{name}", "it is missing")


def _misfits_in(name: str, schema: JSON, value: JSON) -> Iterator[Misfit]:
    compiled = _compiled(schema)
    for place, message in compiled.find_problems(value) if compiled else ():
        where = ".".join(str(part) for part in ("fields", name, *place))
        yield Misfit(where[:DETAIL_LIMIT], message[:DETAIL_LIMIT])


def _compiled(schema: JSON) -> CompiledSchema | None:
    """None of what is no schema: the run waits already, and somebody has to be able to answer it."""
    if not isinstance(schema, dict | bool):
        return None
    try:
        return CompiledSchema(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return None


def _defaults(schemas: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        name: schema["default"] for name, schema in schemas.items() if isinstance(schema, dict) and "default" in schema
    }
