"""The audit log: each action of a person or a program is a row of the journal.

The row is committed before the action begins, and its result after it has ended: no action is without a row, and one
whose result a crash has swallowed stays `begun`. Starts of runs, events and deliveries have no rows, since each is
recorded already.
"""

import asyncio
import contextlib
import getpass
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from msgspec.structs import replace
from starlette.requests import HTTPConnection

from durable.audit import COMMAND_AGENT, AuditOutcome, AuditRecord, AuditVia
from durable.clock import new_id
from durable.journal.audit import PREFIX
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.links import hide_links
from durable.redactor import Redactor
from triggers.keys import KeyHolder

log = logging.getLogger("waypost.audit")

TEXT_LIMIT = 1_000
"""The characters of a reason, and of a name that a request brings, that are kept."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for an action, by which way, and from which address. `holder` is None if nobody signed in."""

    holder: KeyHolder | None
    via: AuditVia
    address: str | None
    name: str | None = None
    """Who it is, where there is no holder."""

    @classmethod
    def of_request(cls, request: HTTPConnection, holder: KeyHolder | None) -> Self:
        """The sender of a request to the API. Only commands name themselves in it, so a program may pass for one."""
        is_command = request.headers.get("user-agent", "").startswith(COMMAND_AGENT)
        return cls(holder, "command" if is_command else "api", find_address(request))

    @classmethod
    def of_command(cls) -> Self:
        """The user of the operating system who runs a command without a service."""
        with contextlib.suppress(OSError, KeyError):  # an account without a name, as containers have
            return cls(None, "command", None, getpass.getuser())
        return cls(None, "command", None)


class AuditLog:
    """Writes the audit log."""

    def __init__(self, journal: Journal, redactor: Redactor, now: Callable[[], int]) -> None:
        self._journal = journal
        self._redactor = redactor
        self._now = now

    async def begin(
        self, caller: Caller, action: str, kind: str | None, target: str | None = None, reason: str | None = None
    ) -> AuditRecord:
        """Record that an action begins. Raises a `JournalError`: then it must not begin."""
        record = self._make_record(caller, action, kind, target, reason)
        await asyncio.shield(self._journal.add_audit_record(record))
        return record

    async def end(self, record: AuditRecord, status: int, target: str | None = None) -> None:
        """Record the result of an action, as the HTTP status of its answer, and what it has made. If that cannot be
        written, the action stays `begun`."""
        ended = replace(record, outcome=_find_outcome(status), status=status, target=target or record.target)
        try:
            await asyncio.shield(self._journal.end_audit_record(ended))
        except JournalError as error:
            log.warning("the result of %s could not be recorded in the audit log: %s", record.action, error)

    async def add_refusal(self, caller: Caller, action: str, kind: str | None, target: str | None, status: int) -> None:
        """Record an action that was refused before it began."""
        record = self._make_record(caller, action, kind, target, None)
        refused = replace(record, outcome=_find_outcome(status), status=status)
        with contextlib.suppress(JournalError):  # it is refused in any case
            await asyncio.shield(self._journal.add_audit_record(refused))

    def _make_record(
        self, caller: Caller, action: str, kind: str | None, target: str | None, reason: str | None
    ) -> AuditRecord:
        at, holder = self._now(), caller.holder
        return AuditRecord(
            id=new_id(PREFIX, at),
            at=at,
            by=holder.name if holder else caller.name,
            key=holder.key if holder else None,
            session=holder.session if holder else None,
            via=caller.via,
            address=caller.address,
            action=action,
            kind=kind,
            target=self._redact(target),
            reason=self._redact(reason),
        )

    def _redact(self, text: str | None) -> str | None:
        return self._redactor.redact_text(hide_links(text[:TEXT_LIMIT])) if text else None


def find_address(request: HTTPConnection) -> str | None:
    """The address from which a request comes."""
    return request.client.host if request.client else None


def _find_outcome(status: int) -> AuditOutcome:
    return "done" if status < 400 else "refused" if status < 500 else "failed"
