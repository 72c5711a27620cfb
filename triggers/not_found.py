"""Errors for what is not there. They are apart from what raises them, so that a command can explain them without it.

RunNotFound          there is no such run
StepNotFound         a run has not reached such a step
IdNotFound           no id begins or ends so
IdAmbiguous          several ids begin or end so
BulkNotFound         there is no such bulk
DeliveryNotFound     there is no such delivery
EventNotFound        there is no such event
RequestNotKept       the whole request of a delivery is not kept
KeyNotFound          there is no such key of the API
SecretNotFound       the encrypted store has no such secret
ConnectorNotFound    there is no such connector or action, or it cannot be used
ConnectionNotFound   connections.yaml has no such connection
PipelineNotFound     no file defines the pipeline, and it has no stored version
TriggerNotFound      no file has such a trigger, and it has started no run
WebhookNotFound      no file has such a webhook, and it has received nothing
VersionNotFound      there is no such version, or its beginning is not unambiguous
PipelinesMissing     a config folder has no folder of pipelines
NoConnectors         no package names the connectors that ship with Waypost
"""

from collections.abc import Collection
from pathlib import Path

from durable.ids import is_whole_id
from durable.wording import quote, suggest

_KINDS = {
    "run": ("a run", "waypost show"),
    "evt": ("an event", "waypost runs --event"),
    "dlv": ("a delivery", "waypost delivery"),
    "blk": ("a bulk", "waypost bulk show"),
}
"""What the prefix of an id says that it is the id of, and the command that shows it."""

_PREFIXES = {"run": "run", "event": "evt", "delivery": "dlv", "bulk": "blk"}


def explain_other_kind(kind: str, id: str) -> str | None:
    """Say what a whole id is the id of, if it is not one of this kind; otherwise return None."""
    prefix = id.partition("_")[0]
    if not is_whole_id(id) or prefix not in _KINDS or prefix == _PREFIXES.get(kind):
        return None
    what, command = _KINDS[prefix]
    return f"{id} is the id of {what}: `{command} {id}` shows it"


def _explain_missing(kind: str, id: str) -> str:
    """Say that a row is missing. If the id is whole, there may have been one, or it is that of something else."""
    if other := explain_other_kind(kind, id):
        return f"there is no {kind} {id}: {other}"
    return f"there is no {kind} {id}" + (", or retention has removed it" if is_whole_id(id) else "")


class RunNotFound(LookupError):
    """There is no such run."""

    def __init__(self, run: str) -> None:
        super().__init__(_explain_missing("run", run))


class StepNotFound(LookupError):
    """A run has not reached such a step."""

    def __init__(self, run: str, path: str) -> None:
        super().__init__(f"run {run} has not reached a step {quote(path)}")
        self.run = run


class IdNotFound(LookupError):
    """No row of the `kind` has an id that begins or ends so."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class IdAmbiguous(LookupError):
    """Several rows have an id that begins or ends so; the message lists them."""


class BulkNotFound(LookupError):
    """There is no such bulk."""

    def __init__(self, bulk: str) -> None:
        super().__init__(_explain_missing("bulk", bulk))


class DeliveryNotFound(LookupError):
    """There is no such delivery."""

    def __init__(self, delivery: str) -> None:
        super().__init__(_explain_missing("delivery", delivery))


class EventNotFound(LookupError):
    """There is no such event."""

    def __init__(self, event: str) -> None:
        super().__init__(_explain_missing("event", event))


class RequestNotKept(LookupError):
    """The journal does not have the whole request of a delivery; the message says why, and names the setting."""


class KeyNotFound(LookupError):
    """There is no such key of the API."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no key {key!r}")


class ConnectorNotFound(LookupError):
    """There is no such connector or action, or it cannot be used; the message says which are meant, or why."""


class ConnectionNotFound(LookupError):
    """There is no such connection in connections.yaml."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no connection {quote(name)}")


class SecretNotFound(LookupError):
    """The encrypted store has no such secret. `is_variable`: the environment has one of that name."""

    def __init__(self, name: str, *, is_variable: bool = False) -> None:
        where = f"; it comes from WAYPOST_SECRET_{name} or its file, which only you can remove" if is_variable else ""
        super().__init__(f"the encrypted store has no secret {quote(name)}{where}")


class PipelineNotFound(LookupError):
    """There is no such pipeline, now or earlier. `known` are the ids of those that are served."""

    def __init__(self, pipeline: str, known: Collection[str]) -> None:
        hint = suggest(pipeline, known) or "`waypost pipelines` lists them"
        super().__init__(f"there is no pipeline {quote(pipeline)}; {hint}")


class TriggerNotFound(LookupError):
    """There is no such trigger, now or earlier. `known` are the ids of those that there are."""

    def __init__(self, trigger: str, known: Collection[str]) -> None:
        hint = suggest(trigger, known) or "`waypost pipelines` lists them"
        super().__init__(f"there is no trigger {quote(trigger)}; {hint}")


class WebhookNotFound(TriggerNotFound):
    """There is no such webhook, now or earlier; `hint` names those that were probably meant."""

    def __init__(self, webhook: str, hint: str | None) -> None:
        LookupError.__init__(
            self,
            f"there is no webhook {quote(webhook)}; {hint or '`waypost pipelines` lists them, as PIPELINE/TRIGGER'}",
        )


class VersionNotFound(LookupError):
    """There is no such version of a pipeline, or its beginning is not unambiguous; the message says which there are."""


class PipelinesMissing(LookupError):
    """A config folder has no folder of pipelines; the message says how to get one."""

    def __init__(self, config: Path) -> None:
        option = "" if config == Path("config") else f" --config {config}"
        cure = f"`waypost init{option}` writes one, or name yours with --config"
        super().__init__(f"there is no folder {config / 'pipelines'}: {cure}")


class NoConnectors(LookupError):
    """Not even the connectors that ship with Waypost are found."""

    def __init__(self, group: str) -> None:
        super().__init__(
            f"the connectors that ship with Waypost are not found: its installation names no entry points of the group "
            f"{group!r}, as one from before an upgrade; install it again (in a checkout: `pip install -e .`)"
        )
