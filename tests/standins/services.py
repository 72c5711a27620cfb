"""Connectors for the stand-in services of `town`, each action one request: `stripe`, `sql`, `slack`, `email`."""

from typing import Any

from pydantic import BaseModel, Field

from connectors.wire.client import HttpClient
from connectors.wire.errors import classify_response, read_retry_after
from connectors.wire.response import Response
from durable.action import ActionError, Connector, Context, Inputs, Secret, action
from durable.values import JSON


class Account(Inputs):
    """The URL of a service, and its key."""

    base_url: str
    api_key: Secret


class Charge(Inputs):
    """The amount to charge to a card."""

    amount: float = Field(gt=0)
    currency: str


class Charged(BaseModel):
    """A completed charge."""

    id: str


class Statement(Inputs):
    """An SQL statement, and its parameters by name."""

    sql: str
    params: dict[str, Any] = Field(default_factory=dict)


class Message(Inputs):
    """A message to a channel."""

    channel: str
    text: str


class Letter(Inputs):
    """An e-mail made from a template."""

    to: str
    subject: str
    template: str


@action("create_charge", input=Charge, output=Charged)
async def create_charge(context: Context, input: Charge) -> Charged:
    """Charge a card."""
    return Charged.model_validate(await _post(context, "charges", input))


@action("execute", input=Statement)
async def execute(context: Context, input: Statement) -> JSON:
    """Execute a statement."""
    return await _post(context, "statements", input)


@action("post_message", input=Message)
async def post_message(context: Context, input: Message) -> JSON:
    """Post a message."""
    return await _post(context, "messages", input)


@action("send", input=Letter)
async def send(context: Context, input: Letter) -> JSON:
    """Send a letter."""
    return await _post(context, "letters", input)


SERVICES = (
    Connector("stripe", "Charges cards", (create_charge,), Account),
    Connector("sql", "Executes statements", (execute,), Account),
    Connector("slack", "Posts messages", (post_message,), Account),
    Connector("email", "Sends letters", (send,), Account),
)


async def _post(context: Context, place: str, input: BaseModel) -> JSON:
    account = context.connection
    assert isinstance(account, Account)
    headers = {"authorization": f"Bearer {account.api_key}"}
    url = f"{account.base_url}/{place}"
    client = context.resource(HttpClient)
    answer = await client.send(context, "POST", url, headers=headers, json=input.model_dump(mode="json"))
    if not answer.is_success:
        raise _refusal(answer)
    return answer.json()


def _refusal(answer: Response) -> ActionError:
    """The service's own error code."""
    body = answer.json() if answer.media_type.is_json else None
    error: Any = body.get("error") if isinstance(body, dict) else None
    return ActionError(
        error["message"] if error else f"it answered {answer.status}",
        error_class=classify_response(answer),
        code=error["code"] if error else str(answer.status),
        retry_after=read_retry_after(answer),
    )
