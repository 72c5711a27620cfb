"""Operations on deliveries, which are the requests on webhooks with their outcomes: list, read and replay them."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.journal.journal import Journal
from durable.redactor import Redactor
from durable.units import DeliveryOutcome
from triggers.api.idempotency import IdempotencyHeader, make_dedupe_key
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.repeats import make_refusal
from triggers.api.value_types import DeliveryId, Limit, PastMoment, Reason
from triggers.documents.deliveries import DeliveriesDocument, DeliveryDetailsDocument
from triggers.documents.starts import ReplayedDocument
from triggers.not_found import RequestNotKept
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.replays import Replays
from triggers.runs.lists import ServedNames, ensure_webhook
from triggers.webhooks.details import DeliveryQuery, describe_delivery, list_lines, load_body

BYTES = "application/octet-stream"

REDACTED = "waypost-redacted"
"""The header of a body in which a secret was replaced."""


class ManyDeliveries(Parameters):
    trigger: str | None = Field(None, description="Only deliveries on this webhook, named `pipeline/trigger`")
    outcome: DeliveryOutcome | None = Field(None, description="Only deliveries with this outcome")
    event: str | None = Field(None, description="Only deliveries of this event, including duplicates")
    since: PastMoment | None = Field(
        None, alias="from", description="Only deliveries that arrived at this time or later"
    )
    until: PastMoment | None = Field(None, alias="to", description="Only deliveries that arrived before this time")
    after: DeliveryId | None = Field(None, description="Continue after this delivery: the `after` of the previous page")
    limit: Limit = Field(50, description="The maximum number")


class OneDelivery(Parameters):
    delivery: str = Field(description="The delivery's id")


class ReplayParameters(OneDelivery):
    idempotency_key: IdempotencyHeader = Field(
        None, description="The same key for the same delivery is the same request, for seven days"
    )


class Replay(Body):
    """How a delivery is processed again."""

    to: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="Another pipeline's webhook: `PIPELINE`, or `PIPELINE/TRIGGER`; default: its own"
    )
    unverified: bool = Field(
        False, description="Whether to skip the signature check; needs a key with the scope `admin`"
    )
    reason: Reason | None = Field(None, description="The reason, shown with the run")


class DeliveryOperations:
    """Lists, reads and replays deliveries."""

    def __init__(
        self,
        journal: Journal,
        replays: Replays,
        redactor: Redactor,
        names: Callable[[], ServedNames],
        now: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._replays = replays
        self._redactor = redactor
        self._names = names
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        one, replayed = "/deliveries/{delivery}", {200: ReplayedDocument, 202: ReplayedDocument}
        return [
            Operation(
                *("GET", "/deliveries", self.list_deliveries, "read", ManyDeliveries, Nothing),
                {200: DeliveriesDocument},
                problems={404: "The filter names a webhook that does not exist"},
            ),
            Operation("GET", one, self.get_delivery, "read", OneDelivery, Nothing, {200: DeliveryDetailsDocument}),
            Operation(
                *("GET", f"{one}/body", self.get_delivery_body, "start", OneDelivery, Nothing, {200: BYTES}),
                problems={409: "The body is not kept"},
            ),
            Operation(
                *("POST", f"{one}/replay", self.replay_delivery, "start", ReplayParameters, Replay, replayed),
                problems={
                    409: "The request is not kept or not verified, `when` is false, or no such webhook is served",
                    422: "It cannot be read, or its inputs do not fit",
                },
            ),
        ]

    async def list_deliveries(self, asked: ApiRequest[ManyDeliveries, Nothing]) -> Response:
        """List deliveries, the newest first."""
        query = DeliveryQuery(**asked.parameters.model_dump())
        await ensure_webhook(self._journal, self._names(), query.trigger)
        return respond(await list_lines(self._journal, query, self._redactor, may_answer=asked.may_answer))

    async def get_delivery(self, asked: ApiRequest[OneDelivery, Nothing]) -> Response:
        """Return one delivery: its request, its outcome, its runs and its replays."""
        delivery = asked.parameters.delivery
        return respond(await describe_delivery(self._journal, delivery, self._redactor, may_answer=asked.may_answer))

    async def get_delivery_body(self, asked: ApiRequest[OneDelivery, Nothing]) -> Response:
        """Return the body of a delivery, byte for byte. If a secret in it was replaced, the header
        `Waypost-Redacted` is set."""
        delivery = asked.parameters.delivery
        try:
            body, is_redacted = await load_body(self._journal, delivery, self._redactor)
        except RequestNotKept as missing:
            raise ApiError(409, str(missing)) from None
        headers = {
            "content-disposition": f'attachment; filename="{delivery}.body"',
            "x-content-type-options": "nosniff",
        }
        if is_redacted:
            headers[REDACTED] = "true"
        return Response(body, 200, headers, media_type=BYTES)

    async def replay_delivery(self, asked: ApiRequest[ReplayParameters, Replay]) -> Response:
        """Process a delivery again, as a new run; answered once it is durable.

        Its request is verified again, with the secrets of today and the clock of its receipt. `when`, the inputs and
        the pipeline are those of today. 200 if an earlier request with the same `Idempotency-Key` started the run.
        """
        delivery, given = asked.parameters.delivery, asked.body
        if given.unverified and not asked.by.may("admin"):
            raise ApiError(403, "`unverified` needs a key with the scope `admin`")
        key = make_dedupe_key(f"replay/{delivery}", asked.parameters.idempotency_key, given.model_dump(), self._now())
        try:
            replayed = await self._replays.replay(
                delivery,
                to=given.to,
                is_unverified=given.unverified,
                by=asked.by.name,
                reason=given.reason,
                key=key,
            )
        except RepeatRefused as refused:
            raise make_refusal(refused) from None
        status = (await self._journal.find_statuses([replayed.run])).get(replayed.run)
        document = ReplayedDocument(
            replayed.run,
            status,
            replayed.is_duplicate,
            hint=f"{delivery} was already replayed as {replayed.earlier}" if replayed.earlier else None,
            of=delivery,
            event=replayed.event,
            pipeline=replayed.pipeline,
            version=replayed.version,
        )
        return respond(document, 200 if replayed.is_duplicate else 202)
