"""Signatures: every public test vector agrees, and unsigned input always ends in `Rejected`."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from durable.values import JSON
from triggers.webhooks.presets import find_scheme, load_presets
from triggers.webhooks.request import Rejected, WebhookRequest
from triggers.webhooks.scheme import Scheme, Signed, Token
from triggers.webhooks.signature import ITEM_LIMIT, SIGNATURE_LIMIT, sign_request
from triggers.webhooks.verifier import IDENTITY_LIMIT, Verified, Verifier

DATA = Path(__file__).parent.parent / "data" / "webhooks"
VECTORS = json.loads((DATA / "vectors.json").read_text(encoding="utf-8"))["vectors"]
SCHEMES: dict[str, Scheme] = {
    name: find_scheme("hmac", options, name)
    for name, options in yaml.safe_load((DATA / "schemes.yaml").read_text(encoding="utf-8")).items()
} | load_presets()
NEEDS_CODE = {
    "twilio": "signs the form's fields sorted by name, and a hash in the query for JSON",
    "sendgrid": "signs with ECDSA",
    "hubspot-v2": "is no HMAC: a plain SHA-256 over the secret and the request",
}
IN_GRAMMAR = [vector for vector in VECTORS if vector["scheme"] not in NEEDS_CODE]

NOW = 1_700_000_000
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"id": "evt_1", "type": "order.created"}'
PUBLIC_URL = "https://hooks.example.com/base"
PATH = "/hooks/orders/caf%C3%A9"


def make_request(headers: Mapping[str, str] | None = None, body: bytes = BODY, **rest: str) -> WebhookRequest:
    pairs = tuple((name.lower(), value) for name, value in (headers or {}).items())
    first = {"method": "POST", "path": PATH, "query_string": ""} | rest
    return WebhookRequest(first["method"], first["path"], first["query_string"], pairs, body)


def make_signed_request(
    preset: str = "standard-webhooks", secret: str = SECRET, now: float = NOW, body: bytes = BODY
) -> WebhookRequest:
    headers = {
        "content-type": "application/json",
        **sign_request(SCHEMES[preset], secret, body, now, id="msg_1", type="order", path=PATH),
    }
    return make_request(headers, body)


def with_header(request: WebhookRequest, name: str, value: str) -> WebhookRequest:
    return replace(request, headers=(*(pair for pair in request.headers if pair[0] != name), (name, value)))


def check(request: WebhookRequest, preset: str = "standard-webhooks", *secrets: str, now: float = NOW) -> Verified:
    return Verifier(SCHEMES[preset], ()).check(request, secrets or (SECRET,), now)


def refusal(request: WebhookRequest, preset: str = "standard-webhooks", *secrets: str, now: float = NOW) -> Rejected:
    with pytest.raises(Rejected) as caught:
        check(request, preset, *secrets, now=now)
    return caught.value


# -- public vectors ---------------------------------------------------------------------------------------------------


def agrees(vector: dict[str, Any]) -> bool:
    url = urlsplit(vector.get("url", "https://example.com/hooks/x"))
    request = WebhookRequest(
        method=vector.get("method", "POST"),
        path=url.path,
        query_string=url.query,
        headers=tuple((name.lower(), value) for name, value in vector["headers"].items()),
        body=vector["body"].encode(),
    )
    verifier = Verifier(SCHEMES[vector["scheme"]], (), f"{url.scheme}://{url.netloc}")
    try:
        verifier.check(request, [vector["secret"]], vector.get("now", NOW))
    except Rejected:
        return not vector["valid"]
    return bool(vector["valid"])


@pytest.mark.parametrize("vector", IN_GRAMMAR, ids=lambda vector: f"{vector['scheme']}: {vector['name'][:40]}")
def test_a_public_test_vector_agrees(vector: dict[str, Any]) -> None:
    assert agrees(vector)


def test_every_public_vector_has_a_preset_or_needs_code_for_a_reason() -> None:
    count = sum(map(agrees, IN_GRAMMAR))
    print(f"public vectors agreed / with a preset: {count} / {len(IN_GRAMMAR)}", end="; ")
    print(f"{len(VECTORS) - len(IN_GRAMMAR)} of {len(VECTORS)} have none: {NEEDS_CODE}")
    assert count == len(IN_GRAMMAR) == 34
    assert {vector["scheme"] for vector in VECTORS} <= {*SCHEMES, *NEEDS_CODE}


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_scheme_verifies_what_it_signs_and_rejects_any_change(name: str) -> None:
    scheme = SCHEMES[name]
    secret, private = key_pair(scheme)
    body = b'{"webhookTimestamp": 1700000000000}'
    sent = sign_request(scheme, private, body, NOW, id="1", path=PATH, query_string="a=1", public_url=PUBLIC_URL)
    request = make_request(sent, body, query_string="a=1")
    verifier = Verifier(scheme, (), PUBLIC_URL)
    verifier.check(request, [secret], NOW)
    if isinstance(scheme, Signed):
        with pytest.raises(Rejected) as caught:
            verifier.check(replace(request, body=body + b"\n"), [secret], NOW)
        assert caught.value.reason == "bad_signature"


def key_pair(scheme: Scheme) -> tuple[str, str]:
    """The receiver's and the sender's key: the same secret twice, or a public and a private key."""
    if isinstance(scheme, Token) or scheme.kind == "hmac":
        return SECRET, SECRET
    public = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    if scheme.key.encoding == "hex":
        return public.hex(), bytes(32).hex()
    return base64.b64encode(public).decode(), base64.b64encode(bytes(32)).decode()


# -- real payloads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(DATA.glob("github.*.json")), ids=lambda path: path.stem)
def test_a_real_github_payload_is_accepted_byte_for_byte(path: Path) -> None:
    body = path.read_bytes()
    event = path.stem.removeprefix("github.")
    headers = {
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-GitHub-Event": event,
        "X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "Content-Type": "application/json",
    }
    request = make_request(headers, body)
    assert check(request, "github") == Verified(
        "72d3162e-cc78-11e3-81ab-4c9367dc0958", event, f"body-sha256:{hashlib.sha256(body).hexdigest()}"
    )
    assert request.read_body()[0] == json.loads(body)
    for changed in (body + b" ", body.replace(b",", b", ", 1), body[:-1], b""):
        assert refusal(replace(request, body=changed), "github").reason == "bad_signature"


def test_a_github_delivery_under_a_new_id_has_the_same_replay_key() -> None:
    request = make_signed_request("github")
    replayed = with_header(request, "x-github-delivery", "another")
    assert check(replayed, "github").key != check(request, "github").key
    assert check(replayed, "github").replay_key == check(request, "github").replay_key


def test_svix_is_standard_webhooks_with_other_header_names() -> None:
    standard = make_signed_request().headers
    request = replace(
        make_signed_request(), headers=tuple((name.replace("webhook-", "svix-"), text) for name, text in standard)
    )
    assert check(request, "svix") == Verified("msg_1", "order.created")


# -- malformed requests ------------------------------------------------------------------------------------------------


def test_a_verified_request_yields_its_id_and_type() -> None:
    assert check(make_signed_request()) == Verified("msg_1", "order.created")
    assert check(make_signed_request("stripe"), "stripe") == Verified("evt_1", "order.created")
    assert check(make_signed_request("shopify"), "shopify").type == "order"


@pytest.mark.parametrize(
    "signature",
    ["é", "v1,é", "v1", "v1,", "v1,????", "v1,YQ", "v2,YQ==", ",", " ", "v1a,YQ==", "\x00", "v1,☃", "v1,\ud800"],
)
def test_a_malformed_signature_is_unauthorised(signature: str) -> None:
    rejected = refusal(with_header(make_signed_request(), "webhook-signature", signature))
    assert rejected.reason in {"malformed_signature", "bad_signature"}


@pytest.mark.parametrize("signature", ["sha256=é", "sha256=", "sha256=0", "sha256= 00", "SHA256=00", "00", "sha1=00"])
def test_a_malformed_github_signature_is_unauthorised(signature: str) -> None:
    rejected = refusal(with_header(make_signed_request("github"), "x-hub-signature-256", signature), "github")
    assert rejected.reason in {"malformed_signature", "bad_signature"}


@pytest.mark.parametrize(
    "signature", ["v1," + "A" * SIGNATURE_LIMIT, " ".join(["v1,YQ=="] * (ITEM_LIMIT + 1))], ids=["long", "many"]
)
def test_a_huge_signature_is_rejected_before_it_is_parsed(signature: str) -> None:
    assert refusal(with_header(make_signed_request(), "webhook-signature", signature)).reason == "malformed_signature"


def test_an_absent_or_empty_signature_is_reported_as_missing() -> None:
    assert refusal(make_request({"webhook-id": "msg_1"})).reason == "missing_signature"
    assert refusal(with_header(make_signed_request(), "webhook-signature", "")).reason == "missing_signature"


@pytest.mark.parametrize("name", ["webhook-signature", "webhook-id", "webhook-timestamp"])
def test_a_repeated_header_is_a_bad_request(name: str) -> None:
    request = make_signed_request()
    twice = replace(request, headers=(*request.headers, *(pair for pair in request.headers if pair[0] == name)))
    rejected = refusal(twice)
    assert rejected.reason == "duplicate_header"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_no_signed_part_may_be_omitted(name: str) -> None:
    assert refusal(with_header(make_signed_request(), name, "")).reason == "malformed_signature"


def test_a_signed_query_value_is_signed_as_its_raw_bytes() -> None:
    scheme: JSON = {"sig": {"header": "x-sig"}, "signed": ["query:shop", "body"]}
    verifier = Verifier.of({"scheme": scheme, "secret": "{{ secrets.A }}"})
    for sent, value in (("shop=caf%C3%A9", "café".encode()), ("a=%E9&shop=a+b", b"a b"), ("shop=%E9", b"\xe9")):
        signature = hmac.new(b"secret", value + BODY, "sha256").hexdigest()
        assert verifier.check(make_request({"x-sig": signature}, query_string=sent), ["secret"], NOW) == Verified()
    with pytest.raises(Rejected) as caught:
        verifier.check(make_request({"x-sig": "00"}, query_string="shop=1&shop=2"), ["secret"], NOW)
    assert caught.value.reason == "malformed_signature"


def test_a_repeated_timestamp_in_a_signature_is_malformed() -> None:
    request = make_signed_request("stripe")
    header = request.find_header("stripe-signature")
    assert refusal(with_header(request, "stripe-signature", f"t=1,{header}"), "stripe").reason == "malformed_signature"


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1e9", "١٧", "9" * 5_000, "1700000000.5"])
def test_a_timestamp_that_is_not_a_number_is_malformed(stamp: str) -> None:
    body = json.dumps({"webhookTimestamp": stamp}).encode()
    assert refusal(make_signed_request("linear", body=body), "linear").reason == "malformed_signature"


@pytest.mark.parametrize(
    ("preset", "tolerance"), [("standard-webhooks", 300), ("stripe", 300), ("paddle", 5), ("hubspot-v3", 300)]
)
def test_a_timestamp_may_differ_by_the_tolerance_in_either_direction(preset: str, tolerance: int) -> None:
    request = make_signed_request(preset)
    check(request, preset, now=NOW + tolerance)
    check(request, preset, now=NOW - tolerance)
    assert refusal(request, preset, now=NOW + tolerance + 1).reason == "stale_timestamp"
    assert refusal(request, preset, now=NOW - tolerance - 1).reason == "future_timestamp"


def test_a_bad_timestamp_is_not_revealed_to_an_unsigned_sender() -> None:
    assert refusal(make_signed_request(secret=OLD_SECRET), now=NOW + 9_000).reason == "bad_signature"


def test_an_id_too_long_to_store_is_replaced_by_its_hash() -> None:
    key = check(
        with_header(make_signed_request("github"), "x-github-delivery", "x" * (IDENTITY_LIMIT + 1)), "github"
    ).key
    assert key == f"sha256:{hashlib.sha256(b'x' * (IDENTITY_LIMIT + 1)).hexdigest()}"


def test_a_signed_body_that_is_not_json_has_no_id() -> None:
    assert check(make_signed_request("stripe", body=b"{"), "stripe") == Verified()


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["github", "standard-webhooks", "bearer"])
@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_a_request_is_rejected_when_its_secret_is_not_set(preset: str, secrets: list[str]) -> None:
    with pytest.raises(Rejected) as caught:
        Verifier(SCHEMES[preset], ()).check(make_signed_request(preset), secrets, NOW)
    assert caught.value.reason == "missing_secret"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_é", "no base64!"])
def test_a_request_is_rejected_when_its_secret_is_unusable_and_the_secret_is_not_shown(secret: str) -> None:
    rejected = refusal(make_signed_request(), "standard-webhooks", secret)
    assert rejected.reason == "missing_secret"
    assert secret not in str(rejected)


def test_a_request_signed_with_either_secret_during_rotation_is_accepted() -> None:
    for secret in (OLD_SECRET, SECRET):
        check(make_signed_request(secret=secret), "standard-webhooks", SECRET, OLD_SECRET)
    assert refusal(make_signed_request(secret=OLD_SECRET)).reason == "bad_signature"


@pytest.mark.parametrize("preset", ["standard-webhooks", "stripe"])
def test_a_request_with_signatures_by_two_secrets_is_accepted(preset: str) -> None:
    scheme = SCHEMES[preset]
    assert isinstance(scheme, Signed)
    new, old = make_signed_request(preset), make_signed_request(preset, OLD_SECRET)
    item = (old.find_header(scheme.sig.header) or "").split(scheme.sig.items)[-1]
    both = with_header(new, scheme.sig.header, f"{new.find_header(scheme.sig.header)}{scheme.sig.items}{item}")
    check(both, preset, SECRET)
    check(both, preset, OLD_SECRET)


def test_a_secret_is_the_same_with_and_without_its_prefix() -> None:
    check(make_signed_request(), "standard-webhooks", f"whsec_{SECRET}")


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "header", "value"),
    [
        ("bearer", "authorization", f"bearer {SECRET}"),
        ("basic", "authorization", "Basic dXNlcjpww6Rzcw=="),
        ("telegram", "x-telegram-bot-api-secret-token", SECRET),
    ],
)
def test_a_token_is_accepted_where_its_scheme_puts_it(preset: str, header: str, value: str) -> None:
    check(make_request({header: value}), preset, SECRET, "user:päss")
    wrong = refusal(make_request({header: f"{value}A"}), preset, SECRET, "user:päss")
    assert wrong.reason in {"malformed_signature", "bad_signature"}
    assert refusal(make_request(), preset).reason == "missing_signature"


@pytest.mark.parametrize("value", ["é", "Basic", "Basic é", "Basic ===", "Bearer x", "Basic eA", "\ud800"])
def test_a_malformed_token_is_unauthorised(value: str) -> None:
    wrong = refusal(make_request({"authorization": value}), "basic")
    assert wrong.reason in {"malformed_signature", "bad_signature"}


def test_two_tokens_in_one_request_are_rejected() -> None:
    request = replace(make_request(), headers=(("authorization", f"Bearer {SECRET}"),) * 2)
    assert refusal(request, "bearer").reason == "duplicate_header"


# -- arbitrary input --------------------------------------------------------------------------------------------------

HEADER_NAMES = sorted(
    {pair[0] for name in SCHEMES for pair in sign_request(SCHEMES[name], "00" * 32, b'{"a":1}', NOW, id="1").items()}
    | {"content-type"}
)
PIECES = st.sampled_from(
    ["v1", "t", "h1", "v0", "sha256", "=", ",", ";", " ", "00", "YQ==", "1700000000", "é", "Basic "]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(HEADER_NAMES),
        st.text(max_size=40) | st.lists(PIECES, max_size=40).map("".join) | st.just("a" * 9_000),
    ),
    max_size=8,
).map(tuple)


@settings(deadline=1000)
@given(
    name=st.sampled_from(sorted(SCHEMES)),
    headers=HEADERS,
    body=st.binary(max_size=500),
    query=st.text(max_size=40),
    now=st.floats(0, 1e11),
)
@example("hubspot-v3", (("x-hubspot-signature-v3", "YQ=="), ("x-hubspot-request-timestamp", "☃")), b"", "", 0)
@example("linear", (("linear-signature", "00"),), b"[" * 100_000, "", 0)
def test_any_unsigned_input_is_rejected_in_bounded_time(
    name: str, headers: tuple[tuple[str, str], ...], body: bytes, query: str, now: float
) -> None:
    verifier = Verifier(SCHEMES[name], (), "https://example.com")
    with pytest.raises(Rejected):
        verifier.check(WebhookRequest("POST", PATH, query, headers, body), [SECRET, "00" * 32], now)


@settings(deadline=1000)
@given(name=st.sampled_from(["stripe", "slack", "linear", "github"]), body=st.binary(max_size=500))
def test_any_genuine_request_is_verified_or_rejected(name: str, body: bytes) -> None:
    try:
        verified = check(make_signed_request(name, body=body), name)
    except Rejected as rejected:
        assert (name, rejected.reason) == ("linear", "malformed_signature")  # noqa: PT017  # the body has no timestamp
    else:
        assert verified.key in {None, "msg_1"}
