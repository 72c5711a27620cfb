"""A kept request gives back what was sent, and a `trigger` document that equals the first one."""

import string

from hypothesis import given
from hypothesis import strategies as st

from durable.charsets import find_charset
from triggers.webhooks.kept_request import RequestHead, encode_head, restore_credential, restore_request
from triggers.webhooks.presets import load_presets
from triggers.webhooks.request import WebhookRequest, read_headers
from triggers.webhooks.scheme import Token

BYTES = st.binary(max_size=40).map(lambda data: data.decode("latin-1"))
NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8)
REQUESTS = st.builds(
    WebhookRequest,
    st.sampled_from(["GET", "POST", "DELETE"]),
    BYTES.map(lambda text: "/hooks/" + text),
    BYTES,
    st.lists(st.tuples(NAMES, BYTES), max_size=8).map(tuple),
    st.binary(max_size=100),
)


@given(REQUESTS)
def test_a_kept_request_is_the_request_that_was_sent(request: WebhookRequest) -> None:
    head = RequestHead.decode(encode_head(request, None, {"name": "\xe9"}, b"key"))
    assert restore_request(request.method, head, request.body) == request
    assert head.parameters == {"name": "\xe9"}
    assert read_headers(restore_request(request.method, head, b"").headers, ()) == read_headers(request.headers, ())


def test_a_request_of_an_unknown_charset_keeps_its_bytes() -> None:
    request = WebhookRequest("POST", "/", "q=\xe4\xf6", (("x", "\xfc"),), b"\xe4\x00", find_charset("windows-1252"))
    head = RequestHead.decode(encode_head(request, None, {}, b"key"))
    assert restore_request("POST", head, b"\xe4\x00").query_string.encode("latin-1") == b"q=\xe4\xf6"


def test_only_the_same_secret_restores_a_token() -> None:
    for name, scheme in load_presets().items():
        if not isinstance(scheme, Token):
            continue
        request = WebhookRequest("POST", "/", "", (), b"")
        empty = RequestHead("/", "", [])
        assert restore_credential(request, empty, scheme, ["a secret"], b"key") == request, name
