"""Every `verify` setting becomes a scheme or a clear error, and the credentials it reads never reach an event."""

import pytest

from durable.values import JSON
from tests.triggers.page import PAGE, tables, with_tables
from triggers.http.rate_limit import MOST_NAMES
from triggers.settings import Settings
from triggers.webhooks.presets import GENERIC, load_presets
from triggers.webhooks.request import WebhookRequest, read_headers
from triggers.webhooks.scheme import Signed, Token, read_scheme
from triggers.webhooks.signature import sign_request
from triggers.webhooks.verifier import Verified, Verifier, find_bearing_headers, find_credential_headers

SECRET = "{{ secrets.X }}"


def _greeting(when: JSON, **reply: JSON) -> JSON:
    handshake: JSON = {"method": "GET", "when": when, "token": "query:token", "reply": reply}
    return {"sig": {"header": "x"}, "handshake": handshake}


def test_a_generic_hmac_preset_follows_its_options() -> None:
    options = {"header": "X-Sign", "algorithm": "sha512", "encoding": "base64", "prefix": "s=", "secret": SECRET}
    verifier = Verifier.of({"preset": "hmac", **options})
    assert verifier.secrets == (SECRET,)
    assert verifier.scheme == read_scheme(
        {"alg": "sha512", "sig": {"header": "x-sign", "encoding": "base64", "prefix": "s="}}, "scheme"
    )


def test_a_scheme_may_be_written_out() -> None:
    verifier = Verifier.of({"scheme": {"kind": "token", "header": "X-Token"}, "secret": [SECRET, "{{ secrets.B }}"]})
    assert verifier == Verifier(Token(kind="token", header="x-token"), (SECRET, "{{ secrets.B }}"))


def test_verification_is_skipped_only_where_none_is_written() -> None:
    assert Verifier.of("none").check(WebhookRequest("POST", "/", "", (), b""), [], 0) == Verified()
    with pytest.raises(ValueError, match="`none` to accept every request"):
        Verifier.of(None)


@pytest.mark.parametrize(
    ("verify", "problem"),
    [
        ("github", "verify: say how senders sign"),
        ({"secret": SECRET}, "verify: name either a `preset` or a `scheme`"),
        ({"preset": "gihub", "secret": SECRET}, "verify.preset: `gihub` is not a preset; did you mean 'github'"),
        ({"preset": "acme", "secret": SECRET}, "known: basic, bearer, bitbucket, calendly,"),
        ({"preset": 1, "secret": SECRET}, "verify.preset: must be a name"),
        ({"preset": "github"}, "verify.secret: write"),
        ({"preset": "github", "secret": []}, "verify.secret: write"),
        ({"preset": "github", "secret": [SECRET, ""]}, "verify.secret: write"),
        ({"preset": "github", "secret": "shown to everybody"}, "verify.secret: write"),
        ({"preset": "github", "secret": "{{ trigger.body.secret }}"}, "verify.secret: write"),
        ({"preset": "github", "secret": "{{ secrets.X }}{{ trigger.body.secret }}"}, "verify.secret: write"),
        ({"preset": "github", "secret": "{{ secrets. }}"}, "verify.secret: write"),
        ({"preset": "github", "secret": SECRET, "verify_token": SECRET}, "verify.verify_token: this sender sends none"),
        ({"preset": "meta", "secret": SECRET}, "verify.verify_token: write"),
        ({"preset": "meta", "secret": SECRET, "verify_token": "me"}, "verify.verify_token: write"),
        ({"preset": "square", "secret": SECRET}, "set `public_url`"),
        ({"preset": "hubspot-v3", "secret": SECRET}, "set `public_url`"),
        (
            {"preset": "github", "secret": SECRET, "header": "x"},
            "verify.header: the preset `github` has no such option",
        ),
        ({"preset": "hmac", "secret": SECRET}, "verify.header: 'header' is missing"),
        (
            {"preset": "hmac", "header": "x", "algorithm": "md5", "secret": SECRET},
            "verify.algorithm: 'algorithm' must be sha1",
        ),
        (
            {"preset": "hmac", "header": "x y", "secret": SECRET},
            "verify.header: 'header': must be the name of a header",
        ),
        ({"scheme": [], "secret": SECRET}, "verify.scheme: the whole must be a mapping"),
        (
            {"scheme": {"sig": {"header": "x"}}, "secret": SECRET, "alg": 1},
            "verify.alg: this option is not allowed with `scheme`",
        ),
        ({"scheme": {"sig": {"header": "x"}, "signed": ["ts"]}, "secret": SECRET}, "`signed` must contain `body`"),
        (
            {"scheme": {"sig": {"header": "x"}, "signed": ["v0:", "body"]}, "secret": SECRET},
            "verify.scheme.signed.0: item 1 of 'signed': 'v0:'",
        ),
        (
            {"scheme": {"sig": {"header": "x"}, "signed": ["body:id", "body"]}, "secret": SECRET},
            "the body is not parsed before it is verified",
        ),
        (
            {"scheme": {"sig": {"header": "x"}, "ts": {"ref": "header:t"}}, "secret": SECRET},
            "a time that is not signed can be forged",
        ),
        (
            {"scheme": {"sig": {"header": "x"}, "ts": {"ref": "body:t", "tolerance": 300}}, "secret": SECRET},
            "verify.scheme.ts.tolerance: 'tolerance': '300' has no unit",
        ),
        ({"scheme": {"sig": {"header": "x"}, "signed": ["sig:t", "body"]}, "secret": SECRET}, "set `kv`"),
        ({"scheme": {"sig": {"header": "x", "kv": "="}}, "secret": SECRET}, "`kv` and `field` need each other"),
        (
            {"scheme": {"sig": {"header": "x"}, "dedupe": "body"}, "secret": SECRET},
            "verify.scheme.dedupe: 'dedupe': 'body' cannot",
        ),
        ({"scheme": {"sig": {"header": "x"}, "signed": ["url", "body"]}, "secret": SECRET}, "set `public_url`"),
        ({"scheme": _greeting({"body:a": "b"}, text="query:c"), "secret": SECRET}, "the body cannot be read"),
        ({"scheme": _greeting({"query:a": "b"}, text="body:c"), "secret": SECRET}, "the body cannot be read"),
        (
            {"scheme": _greeting({"query:a": "b"}, fields={"c": {"hmac": "query:c"}}), "secret": SECRET},
            "no secret verified the request",
        ),
        ({"scheme": _greeting({}, text="query:c"), "secret": SECRET}, "verify.scheme.handshake.when"),
        (
            {"scheme": {"sig": {"header": "x"}, "reply": {"status": 500}}, "secret": SECRET},
            "verify.scheme.reply.status",
        ),
    ],
)
def test_an_invalid_verify_setting_is_rejected_by_name(verify: JSON, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        Verifier.of(verify)
    assert problem in str(caught.value)


def test_presets_have_descriptions_and_unique_names() -> None:
    assert len(load_presets()) >= 30
    assert all(scheme.about.endswith(".") for scheme in load_presets().values())
    assert not set(load_presets()) & set(GENERIC)


def test_the_webhooks_page_lists_every_preset() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert all(f"<!-- generated: {name} -->" in page for name in tables())
    assert page == with_tables(page), "the tables are out of date: run `python -m tests.triggers.page`"


def test_schemes_without_a_signed_time_or_id_have_a_replay_key() -> None:
    for name, scheme in load_presets().items():
        if isinstance(scheme, Signed):
            has_signed_id = scheme.dedupe is not None and (
                scheme.dedupe.place == "body" or scheme.dedupe in scheme.signed
            )
            assert scheme.replay or has_signed_id, f"{name}: one captured request could start runs without end"


def test_a_replay_key_covers_the_signed_time() -> None:
    scheme = load_presets()["zendesk"]
    keys = set()
    for now in (1_700_000_000, 1_700_000_000, 1_700_000_001):
        request = WebhookRequest("POST", "/", "", tuple(sign_request(scheme, "key", b"{}", now, id="").items()), b"{}")
        keys.add(Verifier(scheme).check(request, ["key"], now).replay_key)
    assert len(keys) == 2


# -- credentials ------------------------------------------------------------------------------------------------------


def test_credential_headers_are_withheld_and_stored_as_keyed_hashes() -> None:
    always = {"authorization", "cookie", "proxy-authorization"}
    assert find_credential_headers(None) == always
    assert find_credential_headers(load_presets()["github"]) == always | {"x-hub-signature-256"}
    assert find_credential_headers(Token(kind="token", header="x-token")) == always | {"x-token"}
    headers = (("cookie", "canary"), ("accept", "*/*"), ("cookie", "é"), ("accept", "text/plain"))
    assert read_headers(headers, find_credential_headers(None)) == {"accept": ["*/*", "text/plain"]}


def test_a_signature_is_stored_and_a_token_is_not() -> None:
    assert find_bearing_headers(load_presets()["github"]) == {"authorization", "cookie", "proxy-authorization"}
    assert "x-token" in find_bearing_headers(Token(kind="token", header="x-token"))


def test_a_request_is_built_unchanged_from_its_asgi_scope() -> None:
    scope = {
        "method": "POST",
        "path": "/hooks/café",
        "raw_path": b"/hooks/caf%C3%A9",
        "query_string": b"a=%20",
        "headers": [(b"X-Id", b"\xe9"), (b"x-id", b"2")],
    }
    assert WebhookRequest.from_scope(scope, b"canary") == WebhookRequest(
        "POST", "/hooks/caf%C3%A9", "a=%20", (("x-id", "é"), ("x-id", "2")), b"canary"
    )
    assert "canary" not in repr(WebhookRequest.from_scope(scope, b"canary"))


def test_the_webhooks_page_states_the_actual_limits() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rate = Settings().webhook_rate

    assert rate is not None
    assert f"`{rate.number}/{rate.period // 60_000}m` permits {rate.number:,} requests" in page
    assert f"{MOST_NAMES:,} addresses are remembered" in page
