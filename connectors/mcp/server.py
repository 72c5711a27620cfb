"""An MCP server, as a connector's file describes it, and as a connection reaches it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from durable.action import ActionError
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.values import JSON


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """How a server is reached: by a command with its environment, or by a URL with headers."""

    command: tuple[str, ...] = ()
    folder: str = "."
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server. `connector` is the name of its connector, `source` identifies what the file says of the server, and
    `tool_list` is the file with its tools; None if it cannot be kept."""

    connector: str
    source: str
    command: tuple[str, ...]
    folder: str
    settings: Template
    tool_list: Path | None

    @property
    def needs_connection(self) -> bool:
        return bool(self.settings.names)

    def fill_address(self, connection: BaseModel | None) -> ServerAddress:
        """Return how a connection reaches the server; raises `ActionError`."""
        if connection is None and self.needs_connection:
            what = f"the MCP server {self.connector} needs a connection, and the step names none"
            cure = "add 'connection: NAME', with a connection of this connector in connections.yaml"
            raise _refuse(f"{what}; {cure}")
        fields = connection.model_dump(mode="json", by_alias=True) if connection else {}
        try:
            rendered, _ = self.settings.render({"connection": fields})
        except ExpressionError as error:
            raise _refuse(
                f"the settings of the MCP server {self.connector} cannot be evaluated: {error.message}"
            ) from None
        assert isinstance(rendered, dict)
        return ServerAddress(
            self.command,
            self.folder,
            _write_texts(rendered["env"]),
            str(rendered["url"] or ""),
            _write_texts(rendered["headers"]),
        )


def _write_texts(values: JSON) -> Mapping[str, str]:
    """Return the values of a mapping as texts, without those that are null."""
    assert isinstance(values, dict)
    return {name: _write_text(value) for name, value in values.items() if value is not None}


def _write_text(value: JSON) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse(message: str) -> ActionError:
    return ActionError(message, error_class="invalid", code="server_settings", ending="not_sent")
