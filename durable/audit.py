"""The audit log: who did what, from where, by which way, and with which result."""

from typing import Literal, TypeAlias

import msgspec

AuditVia: TypeAlias = Literal["api", "dashboard", "command", "link"]
"""By which way an action was asked for. `command`: a command of Waypost, with a running service or without one; `link`:
a link that somebody followed, without signing in."""

AuditOutcome: TypeAlias = Literal["begun", "done", "refused", "failed"]
"""The result of an action. `begun`: it is not known, since the service stopped meanwhile, or it is being performed."""

COMMAND_AGENT = "waypost-command"
"""The beginning of the User-Agent of Waypost's own commands."""


class AuditRecord(msgspec.Struct, frozen=True):
    """An action of a person or a program.

    `by`: the name of who did it: of a key, or of a person at an identity provider; None if that is not known.
    `key`, `session`: the ids of the key and the session that were used.
    `address`: the address of the network that the request came from.
    `action`: the id of the operation, such as `cancel_run`.
    `kind`, `target`: the kind and the id or name of what it was done to.
    `status`: the HTTP status of the answer.
    """

    id: str
    at: int
    by: str | None
    key: str | None
    session: str | None
    via: AuditVia
    address: str | None
    action: str
    kind: str | None
    target: str | None
    outcome: AuditOutcome = "begun"
    status: int | None = None
    reason: str | None = None
