"""What an operator writes under `verify` is a scheme or a clear refusal, and what it reads never reaches an event."""

import hashlib
import hmac

import pytest

from durable.values import JSON
from triggers.presets import presets
from triggers.received import Received, withhold
from triggers.scheme import Token, read_scheme
from triggers.signature import Verified, Verifier, credential_headers


def test_a_generic_hmac_is_what_its_options_say() -> None:
    options = {"header": "X-Sign", "algorithm": "sha512", "encoding": "base64", "prefix": "s=", "secret": "{{ s }}"}
    verifier = Verifier.of({"preset": "hmac", **options})
    assert verifier.secrets == ("{{ s }}",)
    assert verifier.scheme == read_scheme(
        {"alg": "sha512", "sig": {"header": "x-sign", "encoding": "base64", "prefix": "s="}}, "scheme"
    )


def test_a_scheme_may_be_written_out() -> None:
    verifier = Verifier.of({"scheme": {"kind": "token", "header": "X-Token"}, "secret": ["{{ a }}", "{{ b }}"]})
    assert verifier == Verifier(Token(kind="token", header="x-token"), ("{{ a }}", "{{ b }}"))


def test_nobody_is_checked_only_where_that_is_spelled_out() -> None:
    assert Verifier.of("none").check(Received("POST", "/", "", (), b""), [], 0) == Verified()
    with pytest.raises(ValueError, match="`none` to accept everybody"):
        Verifier.of(None)


@pytest.mark.parametrize(
    ("verify", "problem"),
    [
        ("github", "verify: say how senders sign"),
        ({"secret": "x"}, "verify: name either a `preset` or a `scheme`"),
        ({"preset": "gihub", "secret": "x"}, "verify.preset: `gihub` is no preset; did you mean `github`?"),
        ({"preset": "acme", "secret": "x"}, "there are basic, bearer, github, hmac, standard-webhooks, svix, token"),
        ({"preset": 1, "secret": "x"}, "verify.preset: must be a name"),
        ({"preset": "github"}, "verify.secret: write"),
        ({"preset": "github", "secret": []}, "verify.secret: write"),
        ({"preset": "github", "secret": ["x", ""]}, "verify.secret: write"),
        ({"preset": "github", "secret": "x", "header": "x"}, "verify.header: the preset `github` has no such option"),
        ({"preset": "hmac", "secret": "x"}, "verify.header: Field required"),
        ({"preset": "hmac", "header": "x", "algorithm": "md5", "secret": "x"}, "verify.algorithm: Input should be"),
        ({"preset": "hmac", "header": "x y", "secret": "x"}, "verify.header: must be the name of a header"),
        ({"scheme": [], "secret": "x"}, "verify.scheme: Input should be a valid dictionary"),
        ({"scheme": {"sig": {"header": "x"}}, "secret": "x", "alg": 1}, "verify.alg: no such option beside `scheme`"),
        ({"scheme": {"sig": {"header": "x"}, "signed": ["ts"]}, "secret": "x"}, "`signed` must contain `body`"),
        (
            {"scheme": {"sig": {"header": "x"}, "signed": ["v0:", "body"]}, "secret": "x"},
            "verify.scheme.signed.0: 'v0:'",
        ),
        (
            {"scheme": {"sig": {"header": "x"}, "signed": ["body:id", "body"]}, "secret": "x"},
            "the body is not parsed before it is verified",
        ),
        (
            {"scheme": {"sig": {"header": "x"}, "ts": {"ref": "header:t"}}, "secret": "x"},
            "a time that is not signed can be forged",
        ),
        (
            {"scheme": {"sig": {"header": "x"}, "ts": {"ref": "body:t", "tolerance": 300}}, "secret": "x"},
            "verify.scheme.ts.tolerance: '300' has no unit",
        ),
        ({"scheme": {"sig": {"header": "x"}, "signed": ["sig:t", "body"]}, "secret": "x"}, "say with `kv`"),
        ({"scheme": {"sig": {"header": "x", "kv": "="}}, "secret": "x"}, "`kv` and `field` stand together"),
        ({"scheme": {"sig": {"header": "x"}, "dedupe": "body"}, "secret": "x"}, "verify.scheme.dedupe: 'body' cannot"),
        ({"scheme": {"sig": {"header": "x"}, "signed": ["url", "body"]}, "secret": "x"}, "set `public_url`"),
    ],
)
def test_what_cannot_be_verified_is_refused_by_name(verify: JSON, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        Verifier.of(verify)
    assert problem in str(caught.value)


# -- credentials ------------------------------------------------------------------------------------------------------


def test_what_proves_a_sender_is_withheld_and_known_by_a_keyed_hash() -> None:
    always = {"authorization", "cookie", "proxy-authorization"}
    assert credential_headers(None) == always
    assert credential_headers(presets()["github"]) == always | {"x-hub-signature-256"}
    assert credential_headers(Token(kind="token", header="x-token")) == always | {"x-token"}
    headers = (("cookie", "canary"), ("accept", "*/*"), ("cookie", "é"))
    kept, hashes = withhold(headers, credential_headers(None), b"key")
    assert kept == (("accept", "*/*"),)
    assert hashes[0] == ("cookie", hmac.new(b"key", b"canary", hashlib.sha256).hexdigest())
    assert [name for name, _ in hashes] == ["cookie", "cookie"]
    assert withhold(headers, {"cookie"}, b"another")[1] != hashes


def test_a_request_is_read_from_its_scope_as_it_came() -> None:
    scope = {
        "method": "POST",
        "path": "/hooks/café",
        "raw_path": b"/hooks/caf%C3%A9",
        "query_string": b"a=%20",
        "headers": [(b"X-Id", b"\xe9"), (b"x-id", b"2")],
    }
    assert Received.of(scope, b"canary") == Received(
        "POST", "/hooks/caf%C3%A9", "a=%20", (("x-id", "é"), ("x-id", "2")), b"canary"
    )
    assert "canary" not in repr(Received.of(scope, b"canary"))
