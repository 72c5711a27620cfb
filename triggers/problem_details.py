"""Problem details: the body of an answer that is an error (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from msgspec import Meta, Struct


class Mistake(Struct, frozen=True):
    """One thing that is wrong with a request: the name of the key or parameter, and what to change."""

    name: Annotated[str, Meta(description="The key of the body, or the parameter")]
    detail: Annotated[str, Meta(description="What is wrong with it")]


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """Why there is no better answer (RFC 9457)."""

    type: Annotated[str, Meta(description="Always `about:blank`: the status says it")]
    title: Annotated[str, Meta(description="The status in words")]
    status: Annotated[int, Meta(description="The HTTP status")]
    detail: Annotated[str, Meta(description="What is wrong, and what to do about it")]
    errors: Annotated[list[Mistake], Meta(description="Each mistake, where there are several places")] = []


def make_problem(status: int, detail: str, mistakes: Sequence[Mistake] = ()) -> ProblemDetails:
    """The details of a problem with a status of HTTP."""
    return ProblemDetails("about:blank", HTTPStatus(status).phrase, status, detail, list(mistakes))
