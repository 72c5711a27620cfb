"""Errors of the API, as RFC 9457 problem details."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import Response

from durable.wording import explain_error, make_printable, quote, suggest
from triggers.problem_details import Mistake, ProblemDetails, make_problem
from triggers.refusals import find_refusal

MEDIA_TYPE = "application/problem+json"

MISTAKES_LIMIT = 20
"""How many mistakes of one request are reported."""


class ApiError(Exception):
    """An error response: the HTTP `status`, and a `detail` that says what is wrong and what to do."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, mistakes: Sequence[Mistake] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.mistakes = mistakes

    @classmethod
    def invalid(cls, mistakes: Sequence[Mistake]) -> "ApiError":
        """422: what was sent has the wrong shape."""
        shown = mistakes[:MISTAKES_LIMIT]
        return cls(422, "; ".join(f"`{each.name}`: {each.detail}" for each in shown), mistakes=shown)

    def document(self) -> ProblemDetails:
        """The problem as a document."""
        return make_problem(self.status, str(self), self.mistakes)

    def response(self) -> Response:
        return Response(msgspec.json.encode(self.document()), self.status, self.headers, media_type=MEDIA_TYPE)


def make_api_error(error: Exception) -> ApiError:
    """The answer to an error, by the table of refusals."""
    if isinstance(error, ApiError):
        return error
    refusal = find_refusal(error)
    return ApiError(refusal.status, refusal.detail, refusal.headers)


def find_mistakes(error: ValidationError, known: Collection[str]) -> list[Mistake]:
    """The mistakes that a model found; `known` are the names that it accepts."""
    return [_make_mistake(each, known) for each in error.errors(include_url=False)]


def make_unknown(name: str, known: Collection[str]) -> Mistake:
    """An unknown name, with the one that was probably meant."""
    hint = suggest(name, known) or "leave it out"
    return Mistake(name=quote(name)[1:-1], detail=f"there is no such name; {hint}")


def _make_mistake(error: ErrorDetails, known: Collection[str]) -> Mistake:
    name = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return make_unknown(name, known)
        case "missing":
            return Mistake(name=name, detail="it is missing")
    return Mistake(name=quote(name)[1:-1] if name else "body", detail=make_printable(explain_error(error)))
