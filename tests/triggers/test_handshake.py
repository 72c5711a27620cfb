"""Handshakes: answered only to verified senders, echoing only a plain word, and never recorded as events."""

import hmac
import json

import pytest

from triggers.http.body import BadRequest
from triggers.webhooks.handshake import HandshakeAnswer
from triggers.webhooks.presets import load_presets
from triggers.webhooks.request import Rejected, WebhookRequest
from triggers.webhooks.signature import sign_request
from triggers.webhooks.verifier import Verified, Verifier

NOW = 1_700_000_000
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TOKEN = "meatyhamhock"
NO_WORDS = ["", "é", "<script>alert(1)</script>", "a b", "a" * 65, "a\r\nSet-Cookie: b", "v0:1:{}", "☃"]


def make_signed_post(preset: str, body: object, secret: str = SECRET) -> WebhookRequest:
    data = json.dumps(body).encode()
    return WebhookRequest(
        "POST", "/hooks/x", "", tuple(sign_request(load_presets()[preset], secret, data, NOW, id="").items()), data
    )


def check(preset: str, request: WebhookRequest, *secrets: str, token: str = TOKEN) -> Verified:
    return Verifier(load_presets()[preset]).check(request, secrets or (SECRET,), NOW, token)


def make_subscription_request(query: str, method: str = "GET") -> WebhookRequest:
    return WebhookRequest(method, "/hooks/x", query, (), b"")


# -- Slack ------------------------------------------------------------------------------------------------------------


def test_slack_challenges_are_echoed() -> None:
    request = make_signed_post("slack", {"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"})
    answer = HandshakeAnswer(200, b'{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"}', "application/json")
    assert check("slack", request) == Verified(answer=answer)


def test_an_unsigned_slack_challenge_is_rejected() -> None:
    request = make_signed_post("slack", {"type": "url_verification", "challenge": "abc"}, secret="another")
    with pytest.raises(Rejected):
        check("slack", request)


@pytest.mark.parametrize("challenge", [*NO_WORDS, None, ["a"], {"a": 1}])
def test_a_challenge_that_is_not_a_plain_word_is_not_echoed(challenge: object) -> None:
    with pytest.raises(BadRequest) as caught:
        check("slack", make_signed_post("slack", {"type": "url_verification", "challenge": challenge}))
    assert caught.value.status == 400
    assert str(challenge or "no challenge") not in str(caught.value)


def test_any_other_slack_request_is_an_event() -> None:
    event = {"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention"}, "challenge": "abc"}
    verified = check("slack", make_signed_post("slack", event))
    assert (verified.key, verified.type, verified.answer) == ("Ev1", "app_mention", None)


# -- Meta -------------------------------------------------------------------------------------------------------------


def test_meta_challenges_are_echoed_for_the_right_token() -> None:
    request = make_subscription_request(f"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={TOKEN}")
    assert check("meta", request) == Verified(answer=HandshakeAnswer(200, b"1158201444", "text/plain"))


@pytest.mark.parametrize("token", ["", "meatyhamhoc", "meatyhamhock2", "%C3%A9", "%ED%A0%80", "a&hub.verify_token=b"])
def test_a_wrong_meta_token_is_rejected(token: str) -> None:
    with pytest.raises(Rejected) as caught:
        check("meta", make_subscription_request(f"hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}"))
    assert TOKEN not in str(caught.value)


def test_a_meta_handshake_is_rejected_when_no_token_is_configured() -> None:
    for query in ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=", "hub.mode=subscribe&hub.challenge=1"):
        with pytest.raises(Rejected) as caught:
            check("meta", make_subscription_request(query), token="")
        assert caught.value.reason == "missing_secret"


@pytest.mark.parametrize("challenge", ["", "%3Cscript%3E", "1%0D%0A2", "1&hub.challenge=2", "a" * 65])
def test_a_meta_challenge_that_is_not_a_plain_word_is_not_echoed(challenge: str) -> None:
    with pytest.raises((BadRequest, Rejected)):
        check(
            "meta", make_subscription_request(f"hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge={challenge}")
        )


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_meta_token_does_not_replace_a_signature_on_other_methods(method: str) -> None:
    query = f"hub.mode=subscribe&hub.challenge=1&hub.verify_token={TOKEN}"
    with pytest.raises(Rejected):
        check("meta", make_subscription_request(query, method))


# -- Zoom and Discord -------------------------------------------------------------------------------------------------


def test_a_zoom_token_is_signed_with_the_secret_that_zoom_used() -> None:
    request = make_signed_post(
        "zoom", {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}
    )
    answer = check("zoom", request, "a newer one", SECRET).answer
    assert answer
    expected = hmac.digest(SECRET.encode(), b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hex()
    assert json.loads(answer.body) == {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": expected}


def test_the_zoom_handshake_does_not_sign_forged_messages() -> None:
    forged = '{"event": "meeting.started"}'
    for token in (f"v0:{NOW}:{forged}", f"v0:{NOW}:", "v0:", forged):
        with pytest.raises(BadRequest):
            check(
                "zoom", make_signed_post("zoom", {"event": "endpoint.url_validation", "payload": {"plainToken": token}})
            )


def test_discord_pings_get_an_empty_answer() -> None:
    scheme = load_presets()["discord"]
    public = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    for body, answer in ((b'{"type":0}', HandshakeAnswer(204)), (b'{"type":1}', None)):
        headers = sign_request(scheme, "00" * 32, body, NOW, id="")
        request = WebhookRequest("POST", "/hooks/x", "", tuple(headers.items()), body)
        assert check("discord", request, public).answer == answer
