"""Operations that show somebody new what a webhook does: a request to try, and the service sending it to itself."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
from starlette.responses import Response

from durable.secrets import Secrets
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.config.folder import Folder
from triggers.documents.pipelines import ExampleRequestDocument, FirstExampleDocument, SentExampleDocument
from triggers.webhooks.example import ExampleRequest, explain_duplicates, find_example
from triggers.webhooks.trigger import WebhookTrigger
from triggers.webhooks.webhooks import Webhooks

SHOWN = 1_000
"""The characters of an answer that are shown."""


class ExampleOperations:
    """Makes and sends example requests. `url` is the address of the service."""

    def __init__(self, folder: Folder, secrets: Secrets, webhooks: Webhooks, url: str, now: Callable[[], int]) -> None:
        self._folder = folder
        self._secrets = secrets
        self._webhooks = webhooks
        self._url = url
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        none = {409: "No webhook is served for which a request can be made"}
        return [
            Operation(
                *("GET", "/example", self.get_example, "start", Parameters, Nothing, {200: FirstExampleDocument}),
                problems=none,
            ),
            Operation(
                *("POST", "/example/send", self.send_example, "start", Parameters, Nothing, {200: SentExampleDocument}),
                problems=none,
            ),
        ]

    async def get_example(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Return a request that starts a run of the first webhook for which one can be made: signed, without showing
        the secret."""
        hook, example = self._find()
        files = {file.name: file.path.name for file in self._folder.files}
        document = describe_example(hook, example)
        pipeline = hook.definition.id
        return respond(
            FirstExampleDocument(
                **msgspec.structs.asdict(document), pipeline=pipeline, trigger=hook.id, file=files.get(pipeline, "")
            )
        )

    async def send_example(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Send such a request to the service, as its sender would, and return what the webhook answers."""
        _, example = self._find()
        transport = httpx.ASGITransport(self._webhooks)
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.request(
                example.method, example.url, headers=dict(example.headers), content=example.body.encode()
            )
        return respond(SentExampleDocument(answer.status_code, answer.text[:SHOWN]))

    def _find(self) -> tuple[WebhookTrigger, ExampleRequest]:
        hooks = self._folder.find_triggers(WebhookTrigger)
        found = find_example(hooks, self._secrets, self._url, self._now() / 1000)
        if found is None:
            what = "no webhook is served" if not hooks else "no request can be made for the webhooks that are served"
            raise ApiError(409, f"{what}; `waypost send` sends one that you write")
        return found


def describe_example(hook: WebhookTrigger, example: ExampleRequest) -> ExampleRequestDocument:
    """A request as the API shows it."""
    return ExampleRequestDocument(
        example.method,
        example.url,
        dict(example.headers),
        example.body,
        example.format_curl(),
        valid_for=example.seconds,
        duplicates=explain_duplicates(hook),
    )
