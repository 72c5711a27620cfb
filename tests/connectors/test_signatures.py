"""Signed requests: HMAC against published examples, AWS Signature Version 4 against botocore."""

import asyncio
import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from pydantic import ValidationError

from connectors.auth.aws import AwsSettings, add_aws_signature
from connectors.auth.hmac import HmacSettings, add_signature
from connectors.auth.request import OutgoingRequest
from connectors.auth.send import send_signed
from durable.action import ActionError, Context
from durable.clock import now
from durable.redactor import Redactor
from tests.connectors.servers import OK, answering, serve

pytestmark = pytest.mark.anyio

BINANCE = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ORDER: dict[str, Any] = {
    "symbol": "LTCBTC",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": 1,
    "price": 0.1,
}
BODY = b"\xff{path}"
AT = 1_499_827_319_559


def sign(context: Context, given: dict[str, Any], request: OutgoingRequest, at: int = AT) -> OutgoingRequest:
    return add_signature(context, HmacSettings.model_validate(given), request, at, "n0nce")


async def test_the_published_example_of_github_is_reproduced(context: Context) -> None:
    given = {"secret": "It's a Secret to Everybody", "sign": "{body}", "header": "x-hub", "prefix": "sha256="}
    signed = sign(context, given, OutgoingRequest("POST", "https://a.b/", content=b"Hello, World!"))
    assert signed.headers == {"x-hub": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}


async def test_the_published_example_of_binance_is_reproduced(context: Context) -> None:
    given = {
        "secret": BINANCE,
        "sign": "{query}",
        "param": "signature",
        "timestamp": {"param": "timestamp", "format": "ms"},
    }
    request = OutgoingRequest("POST", "https://api.binance.com/api/v3/order", params=ORDER | {"recvWindow": 5000})
    signed = sign(context, given, request)
    assert signed.params == {"signature": "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"}
    assert signed.url.endswith("&recvWindow=5000&timestamp=1499827319559")


async def test_what_is_signed_is_what_is_sent(context: Context) -> None:
    """The parts of the request, with their text in place of the signature of it."""
    parts = "{method}|{url}|{host}|{target}|{path}|{query}|{body_sha256}|{timestamp}|{nonce}|{{x}}|"
    given = {
        "secret": "c2VjcmV0",
        "key_encoding": "base64",
        "algorithm": "sha512",
        "sign": parts + "{body}",
        "header": "sig",
        "encoding": "base64",
        "timestamp": {"header": "x-time", "format": "iso"},
        "nonce": {"header": "x-nonce"},
    }
    request = OutgoingRequest("PUT", "https://a.b:8443/p%20q", {"Sig": "mine"}, {"x": "ü +"}, BODY)
    signed = sign(context, given, request)
    target = "/p%20q?x=%C3%BC+%2B"
    text = f"PUT|https://a.b:8443{target}|a.b:8443|{target}|/p%20q|x=%C3%BC+%2B|"
    text += f"{hashlib.sha256(BODY).hexdigest()}|2017-07-12T02:41:59Z|n0nce|{{{{x}}}}|"
    expected = base64.b64encode(hmac.digest(b"secret", text.encode() + BODY, "sha512")).decode()
    assert signed.headers == {"x-time": "2017-07-12T02:41:59Z", "x-nonce": "n0nce", "sig": expected}
    assert signed.url == f"https://a.b:8443{target}"


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("s", "1499827319"),
        ("ms", "1499827319559"),
        ("iso", "2017-07-12T02:41:59Z"),
        ("http", "Wed, 12 Jul 2017 02:41:59 GMT"),
    ],
)
async def test_the_time_is_written_as_declared(context: Context, format: str, expected: str) -> None:
    timestamp = {"header": "date", "format": format}
    given = {"secret": "s", "sign": "{timestamp}", "header": "sig", "timestamp": timestamp}
    assert sign(context, given, OutgoingRequest("GET", "https://a.b/")).headers["date"] == expected


async def test_a_signature_is_redacted(context: Context) -> None:
    context.redactor = Redactor()
    signed = sign(context, {"secret": "s", "sign": "{path}", "header": "sig"}, OutgoingRequest("GET", "https://a.b/"))
    assert context.redactor.redact_text(f"no {signed.headers['sig']}") == "no ***"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sign": "{bdy}"}, "'{bdy}' is not a part of a request; did you mean 'body'"),
        ({"sign": "{timestamp}.{body}"}, "signed but not sent"),
        ({"sign": "{nonce}.{body}"}, "signed but not sent"),
        ({"param": "sig"}, "name one place"),
        ({"header": None}, "name one place"),
        ({"header": "x y"}, "cannot be a header's name"),
        ({"algorithm": "md5"}, "sha512"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        HmacSettings.model_validate({"secret": "s", "sign": "{body}", "header": "sig"} | changes)


@pytest.mark.parametrize("key_encoding", ["hex", "base64"])
async def test_a_secret_that_cannot_be_decoded_sends_nothing(context: Context, key_encoding: str) -> None:
    given = {"secret": "canary!", "sign": "{path}", "header": "sig", "key_encoding": key_encoding}
    with pytest.raises(ActionError, match="change 'key_encoding'") as caught:
        sign(context, given, OutgoingRequest("GET", "https://a.b/"))
    assert (caught.value.ending, "canary" in str(caught.value)) == ("not_sent", False)


# -- AWS --------------------------------------------------------------------------------------------------------

AWS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@pytest.mark.parametrize("token", [None, "IQoJ/token=="])
@pytest.mark.parametrize("service", ["s3", "sqs"])
@pytest.mark.parametrize(
    ("method", "url", "params", "content"),
    [
        ("GET", "https://example.amazonaws.com/", {}, None),
        ("GET", "https://example.amazonaws.com/", {"b": "2", "a": "x y+z/~ü", "a-b": "", "A": 1}, None),
        ("GET", "https://example.amazonaws.com/?acl", {}, None),
        ("POST", "https://example.amazonaws.com/a/b c/ü%2Fx/", {}, b'{"a": 1}'),
        ("PUT", "https://bucket.s3.amazonaws.com:8443/key%20(1)*", {"list-type": "2", "q": ["b", "a"]}, b"\xff\x00"),
        ("DELETE", "http://localhost:9000/a//b/./c", {}, None),
    ],
)
def test_a_signature_is_that_of_botocore(
    method: str, url: str, params: dict[str, Any], content: bytes | None, service: str, token: str | None
) -> None:
    settings = AwsSettings.model_validate(AWS | {"session_token": token, "region": "eu-central-1", "service": service})
    headers = {"Content-Type": "application/json"} if content else {}
    request = OutgoingRequest(method, url, headers, params, content)
    settled = add_aws_signature(settings, request, AT)
    theirs = AWSRequest(method, settled.url, dict(headers), content)
    theirs.headers["X-Amz-Content-SHA256"] = settled.headers["x-amz-content-sha256"]
    theirs.context["payload_signing_enabled"] = True
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(
        Credentials(AWS["access_key_id"], AWS["secret_access_key"], token), service, "eu-central-1"
    )
    auth.add_auth(theirs)
    time = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = add_aws_signature(settings, request, int(time.timestamp()) * 1000)
    assert ours.headers["authorization"] == theirs.headers["Authorization"]
    assert ours.headers.get("x-amz-security-token") == token


def test_signing_again_after_a_redirect_changes_only_the_url() -> None:
    settings = AwsSettings.model_validate(AWS | {"region": "us-east-1", "service": "s3"})
    request = OutgoingRequest("GET", "https://a.b/x", params={"q": "1"})
    first = add_aws_signature(settings, request, AT)
    again = add_aws_signature(settings, OutgoingRequest("GET", first.url, first.headers), AT)
    assert again == first


class SlowGate:
    """Lets each request pass after a while; `passed` are the times when."""

    def __init__(self) -> None:
        self.passed: list[int] = []

    async def pass_request(self, context: Context) -> None:
        await asyncio.sleep(0.005)
        self.passed.append(now())

    def note_sent(self) -> None:
        pass


async def test_a_request_is_signed_when_it_may_be_sent(context: Context) -> None:
    timestamp = {"header": "x-time", "format": "ms"}
    settings = {"secret": "s", "sign": "{timestamp}", "header": "x-signature", "timestamp": timestamp}
    context.auth = {"hmac": HmacSettings.model_validate(settings)}
    context.gate = gate = SlowGate()
    async with serve(answering(OK)) as server:
        for _ in range(2):
            await send_signed(context, OutgoingRequest("GET", server.url))
        written = [int(each.headers["x-time"]) for each in server.requests]
    assert len(gate.passed) == 2
    assert all(passed <= at for passed, at in zip(gate.passed, written, strict=True))
