"""The triggers of a pipeline as documents: addresses, how senders are verified, and what each did last."""

import shlex
from collections.abc import Callable

import msgspec

from durable.definition import Definition
from durable.history.words import SecretName
from durable.journal.reads import Reads
from durable.secrets import Secrets
from triggers.config.folder import PipelineFile
from triggers.documents.pipelines import (
    SecretStateDocument,
    TriggerDocument,
    TriggersDocument,
    WebhookDocument,
)
from triggers.kinds import list_kinds
from triggers.pipelines.sample_inputs import make_sample_inputs
from triggers.schedules.schedules import Schedules
from triggers.schedules.timetable import describe_schedules
from triggers.schedules.trigger import ScheduleTrigger
from triggers.trigger import Trigger
from triggers.webhooks.details import DeliveryQuery, list_lines
from triggers.webhooks.presets import name_scheme
from triggers.webhooks.route import PREFIX
from triggers.webhooks.trigger import WebhookTrigger


class TriggerList:
    """Describes the triggers of pipelines. `url` is the address of the service."""

    def __init__(self, reads: Reads, schedules: Schedules, secrets: Secrets, url: str, now: Callable[[], int]) -> None:
        self._reads = reads
        self._schedules = schedules
        self._secrets = secrets
        self._url = url
        self._now = now

    async def describe(self, file: PipelineFile, *, may_answer: bool) -> TriggersDocument:
        """The triggers of a file, in its order for each kind."""
        found = [
            await self._describe(name, trigger, may_answer=may_answer)
            for name in list_kinds()
            for trigger in file.triggers.get(name, ())
        ]
        return TriggersDocument(found, self._format_start(file.definition) if file.definition else None)

    def _format_start(self, definition: Definition) -> str:
        """A command that starts a run with sample inputs."""
        body = msgspec.json.encode({"inputs": make_sample_inputs(definition.pipeline.inputs)}).decode()
        url = f"{self._url}/api/pipelines/{definition.id}/runs"
        return f'curl -X POST {url} -H "Authorization: Bearer $WAYPOST_API_KEY" -d {shlex.quote(body)}'

    async def _describe(self, kind: str, trigger: Trigger, *, may_answer: bool) -> TriggerDocument:
        webhook = schedule = None
        if isinstance(trigger, WebhookTrigger):
            webhook = await self._describe_webhook(trigger, may_answer=may_answer)
        if isinstance(trigger, ScheduleTrigger):
            [schedule] = describe_schedules([trigger], self._schedules.find_progress(), self._now())
        return TriggerDocument(
            id=trigger.id,
            name=trigger.name,
            kind=kind,
            reacts_to=list_kinds()[kind].describe(trigger),
            when=trigger.when.source.strip() if trigger.when else None,
            webhook=webhook,
            schedule=schedule,
        )

    async def _describe_webhook(self, hook: WebhookTrigger, *, may_answer: bool) -> WebhookDocument:
        query = DeliveryQuery(trigger=hook.name, limit=1)
        last = await list_lines(self._reads, query, self._secrets.redactor, may_answer=may_answer)
        return WebhookDocument(
            url=f"{self._url}{PREFIX}{hook.path}",
            methods=sorted(hook.methods),
            verification=name_scheme(hook.verifier.scheme) if hook.verifier.scheme else None,
            secrets=[SecretStateDocument(name, self._secrets.has(name)) for name in _list_secrets(hook)],
            last=last.deliveries[0] if last.deliveries else None,
        )


def _list_secrets(hook: WebhookTrigger) -> list[str]:
    """The names of the secrets that verify its requests, those of each `secret` in their order."""
    places = [place for places in (*hook.secrets, hook.verify_token) for place in places]
    parts = [part for place in places for part in place.parts]
    return list(dict.fromkeys(part.secret for part in parts if isinstance(part, SecretName)))
