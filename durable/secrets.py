"""Secrets: read from the environment by name, and inserted into an input immediately before it is used.

Histories never contain the value of a secret: a step's input has placeholders next to its JSON, and only `fill_secrets`
replaces them. Text in a payload that looks like a reference remains data.

    SecretMissing        a secret is not set, is empty, or its file cannot be read
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from durable.history.words import SecretName, SecretPlaceholder
from durable.redactor import Redactor
from durable.secret_doubts import check_value
from durable.service_variables import describes_known_service
from durable.values import JSON

PREFIX = "WAYPOST_SECRET_"

SIZE_LIMIT = 64 * 1024
"""The maximum size, in bytes, of a secret's file."""


class SecretMissing(LookupError):
    """A required secret cannot be read; `name` is its name."""

    def __init__(self, name: str, problem: str = "is not set") -> None:
        super().__init__(f"secret {name} {problem}: set {PREFIX}{name}, or {PREFIX}{name}_FILE to a file that holds it")
        self.name = name
        self.problem = problem


class Secrets:
    """The secrets of an environment: `WAYPOST_SECRET_<NAME>`, or the file named by `WAYPOST_SECRET_<NAME>_FILE`.

    A variable whose name ends in `_FILE` always names a file. A file is read each time, so that a rotated secret is
    used from the next attempt on. `redactor` knows every value that was ever read here.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._variables: dict[str, str] = {}
        self.redactor = Redactor()
        for name in self.names():
            self.has(name)  # reads it, so that the redactor knows it before the first log line

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
            doubts.append(f"is given twice: {PREFIX}{name} counts, and {PREFIX}{name}_FILE does not")
        return doubts

    def names(self) -> tuple[str, ...]:
        """The names that are set, sorted, whether or not their files can be read."""
        environment = self._environment
        own = [
            name for name in environment if name.startswith(PREFIX) and not describes_known_service(name, environment)
        ]
        variables = (name.removeprefix(PREFIX) for name in own)
        return tuple(sorted({name.removesuffix("_FILE") for name in variables} - {""}))

    def _read(self, name: str) -> str:
        variable = PREFIX + name
        if describes_known_service(variable, self._environment):
            raise SecretMissing(name, "is not set (the variable of its name is Kubernetes' own, for a service)")
        is_variable = variable in self._environment and not name.endswith("_FILE")
        if is_variable:
            value = self._environment[variable]
        elif f"{variable}_FILE" in self._environment:
            value = _read_file(name, Path(self._environment[f"{variable}_FILE"]))
        else:
            raise SecretMissing(name)
        if not value:
            raise SecretMissing(name, "is empty")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise SecretMissing(name, "is not UTF-8 text")
        self.redactor.learn(value)
        if is_variable:
            self._variables[name] = value
        return value


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
