"""Operations on secrets: list, set and remove them, and rotate the store key. No answer contains a value."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.documents.secrets import (
    RemovedSecretDocument,
    RotationDocument,
    SecretDocument,
    SecretListDocument,
)
from triggers.secret_store import SecretStore

KEY_PROBLEM = "There is no usable store key, or the stored value cannot be decrypted; the detail says what to do"


class OneSecret(Parameters):
    secret: str = Field(description="The secret's name")


class NewSecret(Body):
    """A secret to store."""

    name: str = Field(description="Its name, as in `secrets.NAME`", pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    value: str = Field(description="Its value: UTF-8 text of at most 64 KiB")


class SecretOperations:
    """Lists, sets and removes secrets."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def operations(self) -> list[Operation[Any, Any]]:
        refused = {409: KEY_PROBLEM}
        return [
            Operation("GET", "/secrets", self.list_secrets, "admin", Parameters, Nothing, {200: SecretListDocument}),
            Operation(
                "POST", "/secrets", self.set_secret, "admin", Parameters, NewSecret, {200: SecretDocument}, refused
            ),
            Operation(
                "DELETE",
                "/secrets/{secret}",
                self.remove_secret,
                "admin",
                OneSecret,
                Nothing,
                {200: RemovedSecretDocument},
            ),
            Operation(
                "POST",
                "/secrets/key/rotate",
                self.rotate_store_key,
                "admin",
                Parameters,
                Nothing,
                {200: RotationDocument},
                refused,
            ),
        ]

    async def list_secrets(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every secret that is set, and where its value comes from."""
        return respond(await self._store.list_secrets())

    async def set_secret(self, asked: ApiRequest[Parameters, NewSecret]) -> Response:
        """Store a secret, encrypted, instead of the stored one of that name. It is used from the next attempt on."""
        return respond(await self._store.set_secret(asked.body.name, asked.body.value, asked.by.name))

    async def remove_secret(self, asked: ApiRequest[OneSecret, Nothing]) -> Response:
        """Remove a stored secret."""
        return respond(await self._store.remove_secret(asked.parameters.secret, asked.by.name))

    async def rotate_store_key(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Encrypt every stored value with a newer key: with one that was put before the others, or else with a new
        one."""
        return respond(await self._store.rotate_key(asked.by.name))
