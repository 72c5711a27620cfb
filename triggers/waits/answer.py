"""Answers to waits: what a person or a program sent, checked against what was asked.

AnswerRefused   an answer is invalid; `problems` are all of its problems
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import jsonschema_rs

from durable.schema import CompiledSchema
from durable.values import JSON
from durable.wording import PROBLEMS_LIMIT, quote, suggest

DETAIL_LIMIT = 300
"""How many characters of each problem are reported."""


class AnswerProblem(NamedTuple):
    """One problem of an answer: its place, such as `fields.amount`, and why."""

    name: str
    detail: str


class AnswerRefused(ValueError):
    """An answer is invalid."""

    def __init__(self, problems: Sequence[AnswerProblem]) -> None:
        super().__init__("; ".join(f"`{name}`: {detail}" for name, detail in problems))
        self.problems = tuple(problems)


def build_approval(
    schemas: Mapping[str, JSON] | None,
    *,
    approved: bool,
    by: str,
    comment: str | None,
    fields: Mapping[str, JSON],
    at: int,
) -> dict[str, JSON]:
    """A person's decision; raises `AnswerRefused`. To reject, no fields need to be filled in."""
    known = schemas or {}
    wrong = list(islice(_find_problems(known, fields, is_complete=approved), PROBLEMS_LIMIT))
    if wrong:
        raise AnswerRefused(wrong)
    filled = {**(_find_defaults(known) if approved else {}), **fields}
    return {"approved": approved, "by": by, "comment": comment, "fields": filled, "at": at}


def build_webhook_answer(
    body: JSON, *, query: Mapping[str, JSON], headers: Mapping[str, JSON], method: str, at: int
) -> dict[str, JSON]:
    """The request that answered a wait for a webhook."""
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
    """Return the compiled schema; None if it is invalid, because the run already waits and must remain answerable."""
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
