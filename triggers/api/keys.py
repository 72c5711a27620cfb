"""Keys over the API: make, list and revoke them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import JSONResponse, Response

from durable.units import ApiKey
from durable.values import JSON
from durable.wording import quote
from triggers import runs
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters
from triggers.api.problem import ApiError
from triggers.api.value_types import Time
from triggers.keys import Keys, Scope


class OneKey(Parameters):
    key: str = Field(description="The key's id")


class NewKey(Body):
    """A key to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(description="Who it is for")
    scope: Scope = Field(description="What it may do: read, also start, cancel and answer runs, or everything")


class Key(BaseModel):
    """A key, without what its holder presents."""

    id: str
    name: str
    scope: Scope
    created_at: Time
    revoked_at: Time | None


class MadeKey(Key):
    """A key that was just made."""

    key: str = Field(description="What its holder presents; it is shown here and never again")


class KeyList(BaseModel):
    """Every key that was ever made, the oldest first; the admin key of the service is none of them."""

    keys: list[Key]


class KeyOperations:
    """Answers what is asked of keys."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/keys", self.list_keys, "admin", Parameters, Nothing, {200: KeyList}),
            Operation("POST", "/keys", self.create_key, "admin", Parameters, NewKey, {201: MadeKey}),
            Operation("DELETE", "/keys/{key}", self.revoke_key, "admin", OneKey, Nothing, {200: Key}),
        ]

    async def list_keys(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every key that was ever made."""
        return JSONResponse({"keys": [describe_key(key) for key in self._keys.list_keys()]})

    async def create_key(self, asked: ApiRequest[Parameters, NewKey]) -> Response:
        """Make a key; the answer is the only place where it is ever shown."""
        key, text = await self._keys.create(asked.body.name, asked.body.scope)
        return JSONResponse(describe_key(key) | {"key": text}, 201, {"Cache-Control": "no-store"})

    async def revoke_key(self, asked: ApiRequest[OneKey, Nothing]) -> Response:
        """Make a key worthless, at once and for ever."""
        key = await self._keys.revoke(asked.parameters.key)
        if key is None:
            raise ApiError(404, f"there is no key {quote(asked.parameters.key)}; GET /api/keys lists them")
        return JSONResponse(describe_key(key))


def describe_key(key: ApiKey) -> dict[str, JSON]:
    """A key as a line of a list."""
    return {
        "id": key.id,
        "name": key.name,
        "scope": key.scope,
        "created_at": runs.format_time(key.created_at),
        "revoked_at": runs.format_time(key.revoked_at),
    }
