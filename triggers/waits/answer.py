"""An answer as the run gets it: what a person or a program said, held against what was asked.

Unfit   what was said does not fit; `misfits` say where and why, all of them
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import jsonschema_rs

from durable.schema import CompiledSchema
from durable.values import JSON
from durable.wording import quote, suggest

PROBLEMS_LIMIT = 20
DETAIL_LIMIT = 300
"""How many misfits are told, and how many characters of each."""


class AnswerProblem(NamedTuple):
    """One thing that does not fit: its place, such as `fields.amount`, and why."""

    name: str
    detail: str


class AnswerRefused(ValueError):
    """An answer does not fit what was asked."""

    def __init__(self, misfits: Sequence[AnswerProblem]) -> None:
        super().__init__("; ".join(f"`{name}`: {detail}" for name, detail in misfits))
        self.misfits = tuple(misfits)


def build_approval(
    schemas: Mapping[str, JSON] | None,
    *,
    approved: bool,
    by: str,
    comment: str | None,
    fields: Mapping[str, JSON],
    at: int,
) -> dict[str, JSON]:
    """A person's decision; raises `AnswerRefused`. Who rejects need not fill anything in."""
    known = schemas or {}
    wrong = list(islice(_find_problems(known, fields, is_complete=approved), PROBLEMS_LIMIT))
    if wrong:
        raise AnswerRefused(wrong)
    filled = {**(_find_defaults(known) if approved else {}), **fields}
    return {"approved": approved, "by": by, "comment": comment, "fields": filled, "at": at}


def build_webhook_answer(
    body: JSON, *, query: Mapping[str, JSON], headers: Mapping[str, JSON], method: str, at: int
) -> dict[str, JSON]:
    """What came to a wait for a webhook."""
    return {"body": body, "query": dict(query), "headers": dict(headers), "method": method, "at": at}


def _find_problems(
    schemas: Mapping[str, JSON], given: Mapping[str, JSON], *, is_complete: bool
) -> Iterator[AnswerProblem]:
    for name in given:
        if name not in schemas:
            hint = suggest(name, schemas) or "leave it out"
            yield AnswerProblem(f"fields.{quote(name)[1:-1]}", f"there is no such name; {hint}")
    defaults = _find_defaults(schemas)
    for name, schema in schemas.items():
        if name in given:
            yield from _find_problems_in(name, schema, given[name])
        elif is_complete and name not in defaults:
            yield AnswerProblem(f"fields.{name}", "it is missing")


def _find_problems_in(name: str, schema: JSON, value: JSON) -> Iterator[AnswerProblem]:
    compiled = _compile_schema(schema)
    for place, message in compiled.find_problems(value) if compiled else ():
        where = ".".join(str(part) for part in ("fields", name, *place))
        yield AnswerProblem(where[:DETAIL_LIMIT], message[:DETAIL_LIMIT])


def _compile_schema(schema: JSON) -> CompiledSchema | None:
    """None of what is no schema: the run waits already, and somebody has to be able to answer it."""
    if not isinstance(schema, dict | bool):
        return None
    try:
        return CompiledSchema(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return None


def _find_defaults(schemas: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        name: schema["default"] for name, schema in schemas.items() if isinstance(schema, dict) and "default" in schema
    }
