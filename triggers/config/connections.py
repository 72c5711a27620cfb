"""Connections: read from `connections.yaml`, and given to attempts with their secrets filled in.

A connection that is invalid disables only itself, visibly; if it was valid before, its former fields stay in use. A
definition has only the name of a connection: a change of its fields applies from the next attempt on.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, RootModel, StringConstraints, ValidationError

from durable.action import ActionError, ConnectionMissing, Connector, OpenConnection
from durable.connection_auth import AuthField, AuthUnfit, ConnectionAuth, find_login
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.history.words import SecretPlaceholder
from durable.known_values import is_template
from durable.language.catalogue import explain_broken
from durable.language.connections import FILE, explain_mismatch, explain_missing
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.language.scope import Scope
from durable.language.validation import find_data_problems
from durable.limit import NO_LIMIT, Limit
from durable.model_shape import get_shape, walk_leaves
from durable.problem import DataProblem, Explanation, Pointer, Problem
from durable.schema_model import is_schema_model
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.spec_model import Identifier, Mapped, SpecModel
from durable.values import JSON
from durable.wording import quote, suggest
from durable.yaml.document import YamlDocument
from durable.yaml.syntax import Source
from triggers.config.catalogue import Connectors
from triggers.documents.connections import ConnectionStatusName

_CREDENTIAL = re.compile(
    r"(proxy-)?authorization|cookie|(.*[_-])?((api|access|auth|private|secret|subscription)[_-]?key|token|secret|password)",
    re.IGNORECASE,
)
"""Names of fields that usually hold credentials."""

_QUOTED = re.compile("(, not| cannot be) the (?:text|number) .*", re.DOTALL)
"""The part of a message that quotes a value."""


class ConnectionTestSpec(SpecModel):
    """The action that tests a connection, instead of the one that its connector names."""

    use: Annotated[str, StringConstraints(min_length=1)] = Field(description="An action of the connector: http.get")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="Its inputs")


class ConnectionSpec(BaseModel, extra="allow"):
    """What every connection has."""

    use: Annotated[str, StringConstraints(min_length=1)] = Field(description="The connector that uses the connection")
    limit: Limit | None = Field(default=None, description="Limits that replace those of the connector, key by key")
    test: ConnectionTestSpec | None = Field(default=None, description="The action that proves that it works")


_COMMON = frozenset(ConnectionSpec.model_fields)
"""The keys that are not fields of the connector's model."""


class ConnectionsFileSpec(RootModel[dict[Identifier, ConnectionSpec]]):
    """The whole file."""


@dataclass(frozen=True, slots=True)
class NamedConnection:
    """One connection: its fields, and the places of secrets in them. `literals` are credentials in plain text, and
    `limit` replaces what the connector says, key by key; `test` is the action that proves that it works."""

    connector: str
    given: JSON
    slots: tuple[SecretPlaceholder, ...]
    literals: frozenset[str]
    limit: Limit | None = None
    test: ConnectionTestSpec | None = None


class ConnectionState(NamedTuple):
    """Whether a connection can be used, and why not. `connector` is None for an entry that was never valid.
    `has_login`: a person logs it in, now or again."""

    name: str
    connector: str | None
    status: ConnectionStatusName
    reason: str | None
    has_login: bool = False


class Connections:
    """The connections of a config folder; one that becomes invalid stays as it was when it was valid."""

    def __init__(self, config: Path, connectors: Connectors, secrets: Secrets) -> None:
        self.path = config / FILE
        self.problems: Sequence[Problem] = ()
        self._connectors = connectors
        self._secrets = secrets
        self._data: bytes | None = None
        self._revision = 0, 0
        self._known: dict[str, NamedConnection] = {}
        self._auth: dict[str, tuple[Connector, ConnectionAuth]] = {}
        self._broken: frozenset[str] | None = frozenset()
        self.refresh()

    @property
    def names(self) -> list[str]:
        return sorted(self._known)

    def list_names(self, connector: str) -> list[str]:
        """The connections of a connector."""
        return [name for name in self.names if self._known[name].connector == connector]

    @property
    def is_valid(self) -> bool:
        """Whether the file has no errors; it may have warnings."""
        return all(problem.severity == "warning" for problem in self.problems)

    def is_broken(self, name: str) -> bool:
        """Whether what the file has under this name is invalid, or cannot be read."""
        return self._broken is None or name in self._broken

    def line(self, number: int) -> str:
        """A line of the file's text, counted from 1; empty if there is none."""
        return Source(str(self.path), (self._data or b"").decode(errors="replace").splitlines()).get_line(number)

    def find_connector(self, name: str) -> str | None:
        """The connector of a connection; None if there is no such connection."""
        found = self._known.get(name)
        return found.connector if found else None

    def refresh(self) -> bool:
        """Read the file again; returns whether that may change which pipelines are valid."""
        before, revision = self._list_connectors(), (self._connectors.revision, self._secrets.revision)
        try:
            data = self._read()
        except OSError as error:
            self.problems = (Problem(str(self.path), 1, 1, f"the file cannot be read: {error.strerror}"),)
            self._data, self._broken = None, None
        else:
            if data != self._data or revision != self._revision:
                self._apply(data)
            self._revision = revision
        return self._list_connectors() != before

    def open(self, name: str, use: str) -> OpenConnection:
        """A connection for an action, with its secrets filled in. Raises `ConnectionMissing`, `SecretMissing`, and
        `ActionError` for a connection that its secrets make invalid. If its entry in the file is invalid, and the
        former one no longer fits its connector, it is missing."""
        found, wanted = self._known.get(name), use.partition(".")[0]
        connector, model = self._connectors.find(wanted), self._connectors.find_connection_model(wanted)
        if found is None or found.connector != wanted or connector is None or model is None:
            raise self._miss(name, wanted)
        given, values = fill_secrets(found.given, found.slots, self._secrets)
        try:
            fields = model.model_validate(given)
        except ValidationError as error:  # its message contains the values
            if self._is_stale(name):
                raise self._miss(name, wanted) from None
            unfit = ", ".join(sorted({".".join(map(str, each["loc"])) or "it" for each in error.errors()}))
            raise _refuse(name, f"is not valid with the values of its secrets: {unfit}") from None
        try:
            auth = self._choose_auth(connector, fields)
        except AuthUnfit as unfit:
            if self._is_stale(name):
                raise self._miss(name, wanted) from None
            raise _refuse(name, f"cannot be used: {unfit}") from None
        return OpenConnection(name, fields, auth, values | found.literals, connector.base_url)

    def _is_stale(self, name: str) -> bool:
        """Whether a connection may not fit its connector: its entry is invalid, or was not read again yet after a
        change of connectors."""
        return self.is_broken(name) or self._revision[0] != self._connectors.revision

    def _miss(self, name: str, wanted: str) -> ConnectionMissing:
        """Explain that there is no connection for the actions of a connector."""
        found = self._known.get(name)
        if found and found.connector != wanted:
            fault = explain_mismatch(name, found.connector, wanted)
        elif wanted in self._connectors.broken:
            fault = explain_broken(wanted, self._connectors.broken[wanted])
        elif found and self._connectors.find(wanted) is None:
            fault = Explanation(f"there is no connector {quote(wanted)} any more", "put its file back")
        else:
            fault = explain_missing(name, is_broken=self._is_stale(name))
        return ConnectionMissing(f"{fault.message}; {fault.hint}")

    def _choose_auth(self, connector: Connector, fields: BaseModel) -> Mapping[str, BaseModel]:
        """The schemes that sign a connection's requests, with their settings; raises `AuthUnfit`."""
        if connector.takes_auth and isinstance(own := getattr(fields, "auth", None), AuthField):
            return own.settings
        compiled = self._auth.get(connector.name)
        if compiled is None or compiled[0] is not connector:  # its file has changed
            compiled = self._auth[connector.name] = connector, ConnectionAuth.parse(connector.auth)
        return compiled[1].choose(fields)

    def find_test(self, name: str) -> ConnectionTestSpec | None:
        """The action that proves that a connection works; None if neither the file nor its connector names one."""
        found = self._known.get(name)
        if found is None or found.test:
            return found.test if found else None
        connector = self._connectors.find(found.connector)
        action = connector.test if connector else None
        return ConnectionTestSpec(use=f"{found.connector}.{action}") if action else None

    def list_states(self, find_login_problem: Callable[[OpenConnection], str | None]) -> list[ConnectionState]:
        """The state of every connection, also of those that are invalid."""
        names = {*self._known, *(self._broken or ())}
        return [self._find_state(name, find_login_problem) for name in sorted(names)]

    def _find_state(self, name: str, find_login_problem: Callable[[OpenConnection], str | None]) -> ConnectionState:
        found = self._known.get(name)
        connector = found.connector if found else None
        if self.is_broken(name):
            return ConnectionState(name, connector, "invalid", f"{FILE} has errors; run `waypost validate` to see them")
        assert found, "a connection is known or broken"
        try:
            opened = self.open(name, f"{found.connector}.")
        except SecretMissing as missing:
            return ConnectionState(name, connector, "lacks_secret", str(missing))
        except ActionError as error:
            return ConnectionState(name, connector, "invalid", error.message)
        if problem := find_login_problem(opened):
            return ConnectionState(name, connector, "needs_login", problem, has_login=True)
        return ConnectionState(name, connector, "ready", None, has_login=find_login(opened.auth) is not None)

    def find_limit(self, name: str) -> Limit:
        """The limit of a connection: its connector's, with what the file says in its place."""
        found = self._known.get(name)
        if found is None:
            return NO_LIMIT
        declared = self._connectors.find_limit(found.connector)
        return declared.override(found.limit) if found.limit else declared

    def _read(self) -> bytes:
        """The file's bytes, empty if there is no file."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def _list_connectors(self) -> tuple[object, ...]:
        """What pipelines are checked against: the connector of each connection, and which are invalid."""
        return {name: each.connector for name, each in self._known.items()}, self._broken

    def _apply(self, data: bytes) -> None:
        reader = _ConnectionsReader(YamlDocument.read(data, str(self.path)), self._connectors, self._secrets)
        known = reader.read()
        kept = {name: each for name, each in self._known.items() if reader.is_refused or name in reader.broken}
        for each in known.values():
            for literal in each.literals:
                self._secrets.redactor.learn(literal)
        self._broken = None if reader.is_refused else frozenset(reader.broken)
        self._data, self.problems, self._known = data, reader.findings.problems(), kept | known


class _ConnectionsReader:
    """Reads and checks the file, which `is_refused` if it cannot be read at all; `broken` names invalid entries."""

    def __init__(self, document: YamlDocument, connectors: Connectors, secrets: Secrets) -> None:
        self.findings = Report(document)
        self.is_refused = not document.is_whole or bool(document.problems)
        self.broken: set[str] = set()
        self._data = document.data
        self._connectors = connectors
        self._texts = ExpressionCheck(self.findings, secrets.has, secrets.find_doubts)

    def read(self) -> dict[str, NamedConnection]:
        """The valid connections."""
        if self._data is None:
            return {}
        if not isinstance(self._data, dict):
            self._refuse_whole()
            return {}
        for each in find_data_problems(ConnectionsFileSpec, self._data):
            self._add(each, ())
            self.broken.add(str(each.pointer[0]))
        found = {
            name: self._read_connection(name, entry) for name, entry in self._data.items() if isinstance(entry, dict)
        }
        if self.findings.is_full:
            self.is_refused = True
        return {name: each for name, each in found.items() if each and not self.is_refused and name not in self.broken}

    def _refuse_whole(self) -> None:
        self.is_refused = True
        self.findings.add(
            (),
            "the file is not a mapping",
            "write a connection as its name, with 'use: http' and its settings below it",
        )

    def _read_connection(self, name: str, entry: Mapped) -> NamedConnection | None:
        use, given = entry.get("use"), {key: value for key, value in entry.items() if key not in _COMMON}
        if not isinstance(use, str) or not use:
            return None
        errors, literals = self._count_errors(), frozenset[str]()
        if (model := self._find_model(use, (name, "use"))) is not None:
            for each in find_data_problems(model, given, is_open=is_template):
                self._add(each, (name,))
            for pointer, value in walk_leaves(given):
                literals |= self._check_value(value, name, pointer, model)
        self._check_test(name, use, entry.get("test"))
        if self._count_errors() > errors:
            self.broken.add(name)
        if name in self.broken:
            return None
        urls = get_shape(model).urls(given) if model else ()
        rendered, slots = Template.parse(given, urls).render({})
        limit = None if entry.get("limit") is None else Limit.model_validate(entry["limit"])
        test = None if entry.get("test") is None else ConnectionTestSpec.model_validate(entry["test"])
        return NamedConnection(use, rendered, slots, literals, limit, test)

    def _check_test(self, name: str, connector: str, test: JSON) -> None:
        """Check that the test is an action of the connector, and its inputs."""
        if not isinstance(test, dict) or not isinstance(use := test.get("use"), str):
            return
        pointer, (wanted, _, action) = (name, "test"), use.partition(".")
        known = self._connectors.find(connector)
        if known is None:
            return
        if wanted != connector or (found := known.actions.get(action)) is None:
            hint = suggest(use, [f"{connector}.{each}" for each in known.actions])
            self.findings.add((*pointer, "use"), f"{quote(use)} is not an action of {quote(connector)}", hint)
            return
        given = test.get("with") or {}
        for each in find_data_problems(found.input, given):
            self._add(each, (*pointer, "with"))
        if Template.parse(given).expressions or Template.parse(given).secrets:
            self.findings.add(
                (*pointer, "with"), "expressions are not allowed in a test", "write the values themselves"
            )

    def _find_model(self, use: str, pointer: Pointer) -> type[BaseModel] | None:
        model = self._connectors.find_connection_model(use)
        if model is None and use in self._connectors.broken:
            problem = explain_broken(use, self._connectors.broken[use])
            self.findings.add(pointer, problem.message, problem.hint)
        elif model is None:
            is_loaded = self._connectors.find(use) is not None
            what = "the connector {} does not use connections" if is_loaded else "there is no connector {}"
            self.findings.add(pointer, what.format(quote(use)), suggest(use, self._connectors.list_connectable()))
        return model

    def _check_value(self, value: JSON, name: str, pointer: Pointer, model: type[BaseModel]) -> frozenset[str]:
        """Check a value of a connection; returns the credentials that it contains in plain text."""
        if is_template(value):
            self._check_text(str(value), (name, *pointer), is_secret=get_shape(model).is_secret(pointer))
        elif _is_credential(value, pointer, model):
            what, hint = f"{quote(_get_field(pointer))} is written in plain text", "write '{{ secrets.NAME }}'"
            self.findings.add((name, *pointer), what, f"{hint}, and set WAYPOST_SECRET_NAME", severity="warning")
            return frozenset({str(value), str(value).split()[-1]})
        return frozenset()

    def _check_text(self, text: str, pointer: Pointer, *, is_secret: bool) -> None:
        try:
            is_secrets_only = not Template.parse(text).expressions
        except ExpressionError:
            is_secrets_only = True  # which the check of texts reports
        if is_secrets_only:
            self._texts.check_templates(text, pointer, Scope(frozenset(), {}), lambda _: is_secret)
        else:
            what = "expressions other than secrets are not allowed in a connection"
            self.findings.add(pointer, what, "write '{{ secrets.NAME }}', or put it in the step")

    def _add(self, each: DataProblem, where: Pointer) -> None:
        """Report a problem without the text at its place, which may be a secret."""
        message, hint = each.message, each.hint
        if found := _QUOTED.search(message):
            message = message[: found.start()] + ("" if found[1] == ", not" else " does not have the required form")
            hint = hint if hint == "quote it" else None
        elif each.is_key and ":" in (key := str(each.pointer[-1])):
            message, hint = f"unknown key {quote(key.partition(':')[0] + ':…')}", "put a space after the colon"
        self.findings.add((*where, *each.pointer), message, hint, is_key=each.is_key)

    def _count_errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.findings.problems())


def _refuse(name: str, why: str) -> ActionError:
    message = f"the connection {quote(name)} {why}"
    return ActionError(message, error_class="invalid", code="connection_invalid", ending="not_sent")


def _is_credential(value: JSON, pointer: Pointer, model: type[BaseModel]) -> bool:
    """Whether a value that is written in the file is a credential, by its model or by the name of its field."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        return False
    shape = get_shape(model)
    is_secret = is_schema_model(model) and shape.is_secret(pointer) and not shape.is_url(pointer)
    return is_secret or shape.is_credential(pointer) or _CREDENTIAL.fullmatch(_get_field(pointer)) is not None


def _get_field(pointer: Pointer) -> str:
    """The name of the field that a place is in."""
    return next((part for part in reversed(pointer) if isinstance(part, str)), "")
