"""Answers that are errors, as RFC 9457 problem details."""

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import JSONResponse, Response

from durable.values import JSON
from durable.wording import explain_error, make_printable, quote, suggest
from triggers.refusals import find_refusal

MEDIA_TYPE = "application/problem+json"

MISTAKES_LIMIT = 20
"""How many mistakes of one request are told."""


class Mistake(BaseModel, frozen=True):
    """One thing that is wrong with a request: the name of the key or parameter, and what to change."""

    name: str = Field(description="The key of the body, or the parameter")
    detail: str = Field(description="What is wrong with it")


class ProblemDetails(BaseModel):
    """Why there is no better answer (RFC 9457)."""

    type: str = Field(description="Always `about:blank`: the status says it")
    title: str = Field(description="The status in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong, and what to do about it")
    errors: list[Mistake] = Field(default_factory=list, description="Each mistake, where there are several places")


class ApiError(Exception):
    """An answer that is an error: `status` of HTTP, `detail` what and what to do."""

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
        told = mistakes[:MISTAKES_LIMIT]
        return cls(422, "; ".join(f"`{each.name}`: {each.detail}" for each in told), mistakes=told)

    def document(self) -> dict[str, JSON]:
        """The problem as JSON."""
        body: dict[str, JSON] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
        }
        return body | ({"errors": [each.model_dump() for each in self.mistakes]} if self.mistakes else {})

    def response(self) -> Response:
        return JSONResponse(self.document(), self.status, self.headers, media_type=MEDIA_TYPE)


def make_api_error(error: Exception) -> ApiError:
    """The answer to an error, by the table of refusals."""
    if isinstance(error, ApiError):
        return error
    refusal = find_refusal(error)
    return ApiError(refusal.status, refusal.detail, refusal.headers)


def find_mistakes(error: ValidationError, known: Collection[str]) -> list[Mistake]:
    """What a model found wrong; `known` are the names that it takes."""
    return [_make_mistake(each, known) for each in error.errors(include_url=False)]


def make_unknown(name: str, known: Collection[str]) -> Mistake:
    """A name that there is not, and the one that was probably meant."""
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
