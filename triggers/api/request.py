"""Reading a request: its parameters and its body, each by its operation's model."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from durable.values import JSON
from triggers.api.operation import ApiRequest, Asks, Brings, Nothing, Operation
from triggers.api.problem import ApiError, find_mistakes, make_unknown
from triggers.http.body import BodyLimits, parse_json_body, read_body, read_query
from triggers.keys import KeyHolder
from triggers.problem_details import Mistake
from triggers.realtime.permit import StreamPermit

Model = TypeVar("Model", bound=BaseModel)


async def read(
    operation: Operation[Asks, Brings],
    request: Request,
    bounds: BodyLimits,
    holder: KeyHolder | None,
    permit: StreamPermit | None = None,
) -> ApiRequest[Asks, Brings]:
    """Read a request by the models of its operation; raises `ApiError` and `BadRequest`."""
    parameters = read_parameters(operation, request)
    if issubclass(operation.body, Nothing):
        return ApiRequest(parameters, operation.body(), holder, permit)
    data = await read_body(request, bounds)
    given = parse_json_body(data, request.headers.get("content-type")) if data else {}
    return ApiRequest(parameters, read_body_of(operation.body, given), holder)


def read_parameters(operation: Operation[Asks, Brings], request: Request) -> Asks:
    """Read the parameters; raises `ApiError` for one that is unknown, repeated or not UTF-8."""
    places = operation.find_places()
    known = [name for name, place in places.items() if place == "query"]
    query = read_query(request.scope["query_string"])
    counts = Counter(name for name, _ in query)
    wrong = [make_unknown(name, known) for name in counts if name not in known]
    wrong += [
        Mistake(name=name, detail=f"it came {counts[name]} times; send it once") for name in known if counts[name] > 1
    ]
    if wrong:
        raise ApiError.invalid(wrong)
    headers = {name: request.headers.get(name) for name, place in places.items() if place == "header"}
    given = {name: value for name, value in headers.items() if value is not None}
    return read_parameters_of(operation, {**dict(query), **given, **request.path_params})


def read_parameters_of(operation: Operation[Asks, Brings], given: Mapping[str, str]) -> Asks:
    """Read parameters by their names, wherever they stood; raises `ApiError`."""
    return _read(operation.parameters, dict(given), operation.find_places())


def read_body_of(model: type[Model], given: object) -> Model:
    """Read a body by its model; raises `ApiError`."""
    if not isinstance(given, dict):
        found = "null" if given is None else "a list" if isinstance(given, list) else "a single value"
        raise ApiError(422, f"the body must be a JSON object, not {found}; send {{}} where there is nothing to say")
    return _read(model, given, list(_list_names(model)))


def _list_names(model: type[BaseModel], head: str = "") -> Iterator[str]:
    """The names in a body, those of a body inside it behind its own name: `filter`, `filter.tag`."""
    for field, info in model.model_fields.items():
        name = f"{head}{info.alias or field}"
        yield name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _list_names(info.annotation, f"{name}.")


def _read(model: type[Model], given: dict[str, JSON], known: Collection[str]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ApiError.invalid(find_mistakes(error, known)) from None
