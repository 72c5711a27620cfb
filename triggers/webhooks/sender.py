"""The sender's side of a webhook: a body with the headers that its sender signs it with."""

from typing import NamedTuple

import msgspec

from durable.values import JSON
from triggers.webhooks.scheme import Ref, Scheme, Signed
from triggers.webhooks.signature import sign_request


class SignedDelivery(NamedTuple):
    """What a sender sends: the headers that carry the signature, the id and the kind of event, and the body."""

    headers: dict[str, str]
    body: bytes


def sign_delivery(
    scheme: Scheme,
    secret: str,
    body: bytes,
    now: float,
    *,
    id: str,
    type: str = "",
    method: str = "POST",
    path: str = "/",
    query_string: str = "",
    public_url: str = "",
) -> SignedDelivery:
    """Sign a body as its sender does at a time (s since 1970). A time that the scheme reads from the body is set in it
    first. Raises ValueError if the secret or the body does not suit the scheme."""
    if isinstance(scheme, Signed) and scheme.ts and scheme.ts.ref.place == "body":
        body = _set_in_body(body, scheme.ts.ref, int(now * (1000 if scheme.ts.unit == "ms" else 1)))
    headers = sign_request(
        scheme,
        secret,
        body,
        now,
        id=id,
        type=type,
        method=method,
        path=path,
        query_string=query_string,
        public_url=public_url,
    )
    return SignedDelivery(headers, body)


def _set_in_body(body: bytes, ref: Ref, value: int) -> bytes:
    """The body with a value where the reference names it."""
    try:
        document: JSON = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"this sender writes the time into the body, which is not JSON: {error}") from None
    *outer, last = ref.name.split(".")
    place = document
    for name in outer:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise ValueError(f"this sender writes the time into the body at {ref.name}, but the body has no such field")
    place[last] = value
    return msgspec.json.encode(document)
