"""Operations on keys of the API: make, list and revoke them."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.wording import quote
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.documents.fields import KeyGrant, KeyScope
from triggers.documents.keys import KeyDocument, KeyListDocument, MadeKeyDocument
from triggers.keys import Keys
from triggers.problem_details import Mistake


class OneKey(Parameters):
    key: str = Field(description="The key's id")


class NewKey(Body):
    """A key to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(description="Who it is for")
    grants: list[KeyGrant] = Field([], description="What it may do beside its scope: answer what runs wait for")
    scope: KeyScope | None = Field(
        None,
        description="What it may do: read, also start, cancel and answer runs, everything; or sign tokens for streams",
    )


class KeyOperations:
    """Makes, lists and revokes keys."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/keys", self.list_keys, "admin", Parameters, Nothing, {200: KeyListDocument}),
            Operation("POST", "/keys", self.create_key, "admin", Parameters, NewKey, {201: MadeKeyDocument}),
            Operation("DELETE", "/keys/{key}", self.revoke_key, "admin", OneKey, Nothing, {200: KeyDocument}),
        ]

    async def list_keys(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every key that was ever made."""
        return respond(KeyListDocument([KeyDocument.of(key) for key in self._keys.list_keys()]))

    async def create_key(self, asked: ApiRequest[Parameters, NewKey]) -> Response:
        """Make a key; the answer is the only place where it is ever shown."""
        wanted = asked.body
        if wanted.scope is None and not wanted.grants:
            raise ApiError.invalid([Mistake(name="scope", detail="it is missing; give a scope, a grant, or both")])
        if wanted.scope == "sign" and wanted.grants:
            raise ApiError.invalid([Mistake(name="grants", detail="a key that signs tokens has none")])
        key, text = await self._keys.create(wanted.name, wanted.scope, dict.fromkeys(wanted.grants))
        return respond(MadeKeyDocument.of(key, key=text), 201, {"Cache-Control": "no-store"})

    async def revoke_key(self, asked: ApiRequest[OneKey, Nothing]) -> Response:
        """Make a key worthless, at once and for ever."""
        key = await self._keys.revoke(asked.parameters.key)
        if key is None:
            raise ApiError(404, f"there is no key {quote(asked.parameters.key)}; GET /api/keys lists them")
        return respond(KeyDocument.of(key))
