"""Secrets: read by name from the environment or the encrypted store, and inserted into an input just before it is used.

Histories never contain the value of a secret: a step's input has placeholders next to its JSON, and only `fill_secrets`
replaces them. Text in a payload that looks like a reference remains data.

    SecretMissing        a secret is not set, is empty, or its file or its stored value cannot be read
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from durable.history.words import SecretName, SecretPlaceholder
from durable.redactor import Redactor
from durable.secret_doubts import check_value
from durable.service_variables import describes_known_service
from durable.values import JSON

PREFIX = "WAYPOST_SECRET_"

SecretSource: TypeAlias = Literal["environment", "file", "store"]

SIZE_LIMIT = 64 * 1024
"""The maximum size, in bytes, of a secret's file."""


class SecretMissing(LookupError):
    """A required secret cannot be read; `name` is its name."""

    def __init__(self, name: str, problem: str = "is not set", cure: str | None = None) -> None:
        places = (
            f"set {PREFIX}{name}, or {PREFIX}{name}_FILE to a file that holds it, or run `waypost secrets set {name}`"
        )
        super().__init__(f"secret {name} {problem}: {cure or places}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True)
class StoredSecrets:
    """The secrets of the encrypted store: their values, and for each that cannot be decrypted, why and what to do."""

    values: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class Secrets:
    """The secrets of an instance: `WAYPOST_SECRET_<NAME>`, or the file named by `WAYPOST_SECRET_<NAME>_FILE`, or the
    value in the encrypted store.

    A variable whose name ends in `_FILE` always names a file. A file is read each time, so that a rotated secret is
    used from the next attempt on. `redactor` knows every value that was ever read here. `revision` changes with the
    stored secrets.
    """

    def __init__(self, environment: Mapping[str, str], stored: StoredSecrets | None = None) -> None:
        self._environment = environment
        self._stored = stored or StoredSecrets()
        self._variables: dict[str, str] = {}
        self.revision = 0
        self.redactor = Redactor()
        for name in self.names():
            self.has(name)  # reads it, so that the redactor knows it before the first log line

    def replace_stored(self, stored: StoredSecrets) -> None:
        """Use these values of the encrypted store from now on."""
        for value in stored.values.values():
            self.redactor.learn(value)
        self._stored = stored
        self.revision += 1

    def get(self, name: str) -> str:
        """Return the current value; raises `SecretMissing`."""
        value = self._variables.get(name)
        return self._read(name) if value is None else value

    def has(self, name: str) -> bool:
        """Whether `get` would return a value."""
        try:
            self.get(name)
        except SecretMissing:
            return False
        return True

    def find_doubts(self, name: str) -> list[str]:
        """Return what is wrong or doubtful about a secret, as ends of sentences that begin with its name."""
        try:
            doubts = list(check_value(self.get(name)))
        except SecretMissing as missing:
            return [missing.problem]
        if PREFIX + name in self._environment and f"{PREFIX}{name}_FILE" in self._environment:
            doubts.append(f"is set twice: {PREFIX}{name} is used, and {PREFIX}{name}_FILE is ignored")
        if self._is_stored(name) and (variable := self._find_variable(name)):
            doubts.append(f"is set twice: {variable} is used, and the value in the encrypted store is ignored")
        return doubts

    def find_source(self, name: str) -> SecretSource | None:
        """Where the value of a secret comes from; None if it is not set."""
        if variable := self._find_variable(name):
            return "environment" if variable == PREFIX + name else "file"
        return "store" if self._is_stored(name) else None

    def names(self) -> tuple[str, ...]:
        """The names that are set, sorted, whether or not their files can be read."""
        environment = self._environment
        own = [
            name for name in environment if name.startswith(PREFIX) and not describes_known_service(name, environment)
        ]
        variables = (name.removeprefix(PREFIX) for name in own)
        known = {name.removesuffix("_FILE") for name in variables} - {""}
        return tuple(sorted({*known, *self._stored.values, *self._stored.unreadable}))

    def _find_variable(self, name: str) -> str | None:
        """The variable that has the secret or names its file."""
        variable = PREFIX + name
        if describes_known_service(variable, self._environment):
            return None
        if variable in self._environment and not name.endswith("_FILE"):
            return variable
        return f"{variable}_FILE" if f"{variable}_FILE" in self._environment else None

    def _is_stored(self, name: str) -> bool:
        return name in self._stored.values or name in self._stored.unreadable

    def _read(self, name: str) -> str:
        variable = self._find_variable(name)
        is_variable = variable == PREFIX + name
        if variable is not None:
            given = self._environment[variable]
            value = given if is_variable else _read_file(name, Path(given))
        else:
            value = self._read_stored(name)
        if not value:
            raise SecretMissing(name, "is empty")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise SecretMissing(name, "is not UTF-8 text")
        self.redactor.learn(value)
        if is_variable:
            self._variables[name] = value
        return value

    def _read_stored(self, name: str) -> str:
        if name in self._stored.values:
            return self._stored.values[name]
        if name in self._stored.unreadable:
            raise SecretMissing(name, *self._stored.unreadable[name])
        if describes_known_service(PREFIX + name, self._environment):
            raise SecretMissing(name, "is not set (the variable of its name is Kubernetes' own, for a service)")
        raise SecretMissing(name)


def _read_file(name: str, path: Path) -> str:
    """Return a file's text without its final newline. A pipe is rejected, because a second read of it would block for
    ever."""
    try:
        if path.exists() and not path.is_file():
            raise SecretMissing(name, f"cannot be read ({path} is not a regular file)")
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise SecretMissing(name, f"cannot be read ({path} is larger than {SIZE_LIMIT // 1024} KiB)")
        text = data.decode()
    except OSError as error:
        raise SecretMissing(name, f"cannot be read ({path}: {error.strerror})") from None
    except UnicodeDecodeError:
        is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise SecretMissing(name, f"is not UTF-8 text (in {path}{', which is UTF-16' if is_wide else ''})") from None
    if "\0" in text:
        raise SecretMissing(name, f"is not text (in {path}, which has zero bytes)")
    return re.sub(r"\r?\n\Z", "", text)


# -- filling ----------------------------------------------------------------------------------------------------


def fill_secrets(
    value: JSON, placeholders: Sequence[SecretPlaceholder], secrets: Secrets
) -> tuple[JSON, frozenset[str]]:
    """Return the JSON with its placeholders replaced by secrets, and the secrets' values; raises `SecretMissing`."""
    if not placeholders:
        return value, frozenset()
    used: set[str] = set()

    def write(reference: SecretName) -> str:
        secret = secrets.get(reference.secret)
        used.add(secret)
        return quote(secret, safe="") if reference.is_encoded else secret

    return fill_placeholders(value, placeholders, write), frozenset(used)


def fill_placeholders(
    value: JSON, placeholders: Sequence[SecretPlaceholder], write: Callable[[SecretName], str]
) -> JSON:
    """Return the JSON with its placeholders replaced by text; `write` returns the text for each reference to a secret.
    The key of a placeholder may be absent; raises `LookupError` if a container on the path to it is."""
    for placeholder in placeholders:
        text = "".join([part if isinstance(part, str) else write(part) for part in placeholder.parts])
        value = _put(value, placeholder.pointer, text)
    return value


def _put(value: JSON, pointer: Sequence[str | int], text: str) -> JSON:
    """Return a copy of the value with the text at that path. Only the containers on the path are copied."""
    if not pointer:
        return text
    key, *rest = pointer
    match value, key:
        case dict(), str():
            return {**value, key: _put(value.get(key), rest, text)}
        case list(), int() if 0 <= key < len(value):
            return [*value[:key], _put(value[key], rest, text), *value[key + 1 :]]
        case _:
            raise LookupError(f"the input has no {key!r} in which a secret could stand")
