"""Converts the output of an action to its stored form: JSON, encoded once, without secrets.

Other tasks can run between the steps of preparing a large output. A thread would not help: each step is a single call
that holds the interpreter's lock.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from durable.action import InvalidOutput, Returned
from durable.definition import PROBLEM_LENGTH
from durable.page import Page
from durable.redactor import Redactor, Slices
from durable.turns import take_turn
from durable.values import JSON, NULL, NotJSON, Value, encode
from durable.wording import EXPECTED, PROBLEMS_LIMIT, explain_error

_KINDS = frozenset({"str", "int", "float", "bool"})

TURN = 0.005
"""Seconds of work after which other tasks can run."""

Result = TypeVar("Result")


class Output(NamedTuple):
    """An output as JSON, its encoded form, and what is wrong with it."""

    plain: JSON
    encoded: Value
    problem: str | None = None


async def settle_output(model: type[BaseModel] | None, returned: Returned, redactor: Redactor) -> Output:
    """Return the output of an action without secrets; if it is not JSON, only the problem. `model` is that of the
    action's output, if it has one."""
    until = time.perf_counter() + TURN
    try:
        plain, problem = _dump(model, returned)
        if time.perf_counter() > until:
            until = await _take_turn()
        data = encode(plain)
        if time.perf_counter() > until:
            until = await _take_turn()
        if redactor.knows_any and await take_turns(redactor.may_contain_secret(data.decode())):
            plain = await take_turns(redactor.redact_in_slices(plain))
            data = msgspec.json.encode(plain)
            until = await _take_turn()
        encoded = Value.from_json(data)
        if time.perf_counter() > until:
            await _take_turn()
        return Output(plain, encoded, problem and redactor.redact_text(problem))
    except Exception as error:  # noqa: BLE001  # a plugin's model may raise anything; the effect has happened
        return Output(None, NULL, redactor.redact_text(f"the action's output is not JSON: {error}"))


async def _take_turn() -> float:
    """Wait for a turn, and return when it ends."""
    await take_turn()
    return time.perf_counter() + TURN


async def take_turns(slices: Slices[Result]) -> Result:
    """Do work in slices, with other tasks in between, and return its result."""
    until = time.perf_counter() + TURN
    while True:
        try:
            next(slices)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # typeshed has no type for it
        if time.perf_counter() > until:
            until = await _take_turn()


def _dump(model: type[BaseModel] | None, returned: Returned) -> tuple[JSON, str | None]:
    if isinstance(returned, InvalidOutput):
        return returned.raw, returned.problem
    if isinstance(returned, Page):
        raise NotJSON("it is a page, but the action does not declare that it returns pages")
    problem = None
    if model is not None and not isinstance(returned, model):
        returned, problem = _validate(model, returned)
    if isinstance(returned, BaseModel):
        dumped: JSON = returned.model_dump(mode="json", by_alias=True)
        return dumped, problem
    return returned, problem


def _validate(model: type[BaseModel], output: "BaseModel | JSON") -> "tuple[BaseModel | JSON, str | None]":
    try:
        return model.model_validate(output), None
    except ValidationError as error:
        return output, list_problems(error)


def list_problems(error: ValidationError) -> str:
    """List all problems with their places, without the values that caused them, which may be secret."""
    problems = _merge_kinds(error.errors(include_url=False))[:PROBLEMS_LIMIT]
    return "; ".join(f"{place or 'it'}: {problem}"[:PROBLEM_LENGTH] for place, problem in problems)


def _merge_kinds(errors: Sequence[ErrorDetails]) -> list[tuple[str, str]]:
    """Return the places and what is wrong there. For a union, pydantic reports an error for each of its members."""
    found: dict[tuple[str, int], list[ErrorDetails]] = {}
    for error in errors:
        found.setdefault((_place(error["loc"]), id(error["input"])), []).append(error)
    return [
        (place, _explain_kinds(alternatives))
        for (place, _), alternatives in found.items()
        if len(alternatives) == 1 or not any(deeper.startswith(f"{place}.") for deeper, _ in found)
    ]


def _explain_kinds(errors: Sequence[ErrorDetails]) -> str:
    kinds = [EXPECTED.get(error["type"], "") for error in errors]
    if len(kinds) == 1 or not all(kinds):
        return explain_error(errors[0])
    return f"must be {', '.join(kinds[:-1])} or {kinds[-1]}"


def _place(path: Sequence[int | str]) -> str:
    """Return a place without the names of union members that pydantic adds."""
    is_kind = bool(path) and (path[-1] in _KINDS or "[" in str(path[-1]))
    return ".".join(str(part) for part in (path[:-1] if is_kind else path) if "[" not in str(part))
