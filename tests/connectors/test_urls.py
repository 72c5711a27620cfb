"""URLs: which are accepted, and the messages about malformed ones, when a file is loaded and in an attempt."""

import pytest

from connectors.wire.client import HttpClient
from connectors.wire.url import MalformedURL, parse_url
from durable.action import ActionError, Context
from tests.docs.mistakes import load_text

MALFORMED = [
    ("http://127.0.0.1:0/", "the URL's port is not a number from 1 to 65535"),
    ("http://127.0.0.1:65536/", "the URL's port is not a number from 1 to 65535"),
    ("http://127.0.0.1:+80/", "the URL's port is not a number from 1 to 65535"),
    ("http://127.0.0.1:-1/", "the URL's port is not a number from 1 to 65535"),
    ("http://127.0.0.1:8O/", "the URL's port is not a number from 1 to 65535"),
    ("http://127.0.0.1:８０/", "the URL's port is not a number from 1 to 65535"),
    ("http://127.0.0.1:80:80/", "the URL's port is not a number from 1 to 65535"),
    (" http://127.0.0.1/", "the URL begins or ends with white space; remove it"),
    ("http://127.0.0.1/\u00a0", "the URL begins or ends with white space; remove it"),
    ("http://127.0.0.1/\n", "the URL begins or ends with white space; remove it"),
    ("http://127.0.0.1/a\nb", "the URL has a control character (U+000A)"),
    ("http://127.0.0.1/a\x00b", "the URL has a control character (U+0000)"),
    ("http://127.0.0.1/a\x85b", "the URL has a control character (U+0085)"),
    ("http://127.0.0.1/a\u2028b", "the URL has a control character (U+2028)"),
    ("http://exa mple.com/", "the URL has white space in its host; remove it"),
    ("http://127.0.0.1\\@x/", "the URL contains a user or password"),
    ("http://127.0.0.1\\x/", "the URL has a backslash"),
    ("http://127.0.0.1/a\\b", "the URL has a backslash"),
    ("http:\\\\127.0.0.1\\a", "the URL has no host"),
    ("http:/127.0.0.1", "the URL has no host; write https://host/path, with two slashes"),
    ("http:127.0.0.1", "the URL has no host"),
    ("http:///127.0.0.1", "the URL has no host"),
    ("http://", "the URL has no host"),
    ("http://:80/", "the URL has no host"),
    ("http://?a", "the URL has no host"),
    ("ftp://127.0.0.1/", "the URL's scheme is neither http nor https"),
    ("htps://127.0.0.1/", "the URL's scheme is neither http nor https"),
    ("file:///etc/passwd", "the URL's scheme is neither http nor https"),
    ("localhost:8080/x", "the URL has no scheme; write http:// or https:// before the host"),
    ("//127.0.0.1/x", "the URL has no scheme; write https://…"),
    ("http://[::1/", "the URL's host is not a host name or an IP address"),
    ("http://[127.0.0.1]/", "the URL's host is not a host name or an IP address"),
    ("http://[fe80::1%25eth0]/", "the URL's IPv6 address names a zone"),
    ("http://ex%61mple.com/", "the URL's host is not a host name or an IP address"),
    ("http://example..com/", "the URL's host is not a host name or an IP address"),
    ("http://./", "the URL's host is not a host name or an IP address"),
    ("http://ex*mple.com/", "the URL's host is not a host name or an IP address"),
    ("http://<host>/", "the URL's host is not a host name or an IP address"),
    ("http://ａ．com/", "the URL's host is not a host name or an IP address"),
    ("http://" + "a" * 64 + ".com/", "the URL's host is not a host name or an IP address"),
    ("http://u:hunter2@127.0.0.1/", "the URL contains a user or password; write them under `auth"),
    ("http://hunter2@127.0.0.1/", "the URL contains a user or password"),
    ("http://@127.0.0.1/", "the URL contains a user or password"),
    ("http://u:hunter2@a@127.0.0.1/", "the URL contains a user or password"),
    ("http://u:hunter2@[::1]:0/", "the URL contains a user or password"),
]

WRITTEN = [
    ("http://{{ inputs.user }}:hunter2@127.0.0.1/", "the URL contains a user or password"),
    ("http://u:{{ secrets.WORD }}@127.0.0.1/", "the URL contains a user or password"),
    ("http://{{ '}}@' }}@127.0.0.1/", "the URL contains a user or password"),
    ("{{ inputs.scheme }}://u:hunter2@127.0.0.1/", "the URL contains a user or password"),
    (" {{ inputs.url }}", "the URL begins or ends with white space"),
    ("{{ inputs.url }}\n", "the URL begins or ends with white space"),
    ("http://{{ inputs.host }}:0/", "the URL's port is not a number"),
    ("http://{{ inputs.host }}:99999/a", "the URL's port is not a number"),
    ("http://a b.{{ inputs.host }}/", "the URL has white space in its host"),
    ("http:/{{ inputs.path }}", "the URL has no host"),
    ("ftp://{{ inputs.host }}/", "the URL's scheme is neither http nor https"),
    ("//{{ inputs.host }}/", "the URL has no scheme"),
    ("/items/{{ inputs.id }}", "the URL is relative; name a connection"),
    ("http://127.0.0.1/{{ inputs.id }}\\x", "the URL has a backslash"),
]


def problems(url: str, *, beside: str = "") -> list[str]:
    """The problems reported when a pipeline with this URL is loaded."""
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    for code in (0x00, 0x0A, 0x85, 0x2028, 0xA0):
        quoted = quoted.replace(chr(code), f"\\u{code:04x}")
    text = f'steps:\n  - id: a\n    use: http.post\n    {beside}with: {{url: "{quoted}"}}\n'
    return [str(problem) for problem in load_text(text).problems if problem.severity == "error"]


@pytest.mark.parametrize(("url", "reason"), MALFORMED)
def test_a_malformed_url_is_rejected_with_a_reason_when_a_file_is_loaded(url: str, reason: str) -> None:
    [result] = problems(url)
    assert f"orders.yaml:4:17: error: 'url': {reason}" in result
    assert "hunter2" not in result


@pytest.mark.parametrize(("url", "reason"), WRITTEN)
def test_a_url_that_no_expression_can_make_valid_is_rejected_when_a_file_is_loaded(url: str, reason: str) -> None:
    result = [each for each in problems(url) if "'url'" in each]
    assert len(result) == 1
    assert reason in result[0]
    assert "hunter2" not in result[0]


@pytest.mark.parametrize(
    "url",
    [
        "{{ inputs.url }}",
        "{{ inputs.base }}/items/{{ inputs.id }}",
        "{{ inputs.scheme }}://example.com/",
        "http://{{ inputs.host }}:{{ inputs.port }}/",
        "http://{{ inputs.host }}/a@b?c=@",
        "http://[{{ inputs.address }}]:80/",
        "https://{{ secrets.HOST }}/x",
        "http://example.com/{{ '@' }}",
        "https://example.com/a b?c=d e",
    ],
)
def test_a_url_that_an_expression_may_complete_is_loaded(url: str) -> None:
    assert not [each for each in problems(url) if "'url'" in each]


@pytest.mark.parametrize("url", ["/items/{{ inputs.id }}", "items", "", "?page=2", "{{ inputs.user }}@example.com"])
def test_a_relative_url_is_accepted_with_a_connection(url: str) -> None:
    assert not [each for each in problems(url, beside="connection: crm\n    ") if "'url'" in each]


@pytest.mark.anyio
@pytest.mark.parametrize(("url", "reason"), MALFORMED)
async def test_a_malformed_url_is_rejected_with_a_reason_in_an_attempt(
    client: HttpClient, context: Context, url: str, reason: str
) -> None:
    with pytest.raises(ActionError) as caught:
        await client.send(context, "POST", url)
    error = caught.value
    assert (error.error_class, error.code, error.ending) == ("invalid", "invalid_request", "not_sent")
    assert reason in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("http://example.com", "example.com", 80, b"/"),
        ("HTTPS://EXAMPLE.com:443/A", "example.com", 443, b"/A"),
        ("http://example.com.:8080/", "example.com.", 8080, b"/"),
        ("http://example.com:/", "example.com", 80, b"/"),
        ("http://example.com:0080/", "example.com", 80, b"/"),
        ("http://my_host-1/", "my_host-1", 80, b"/"),
        ("http://0x7f.1/", "0x7f.1", 80, b"/"),
        ("http://[::ffff:127.0.0.1]:1/", "::ffff:127.0.0.1", 1, b"/"),
        ("http://bücher.example/", "xn--bcher-kva.example", 80, b"/"),
        ("http://x/%e9/%2F/a%20b;c=@:!$&'()*+,?q=%E9&flag&a=%20&b=/?@", "x", 80, None),
        ("http://x/é b?q=é b", "x", 80, b"/%C3%A9%20b?q=%C3%A9%20b"),
        ("http://x?q#part", "x", 80, b"/?q"),
    ],
)
def test_a_valid_url_is_accepted_byte_for_byte(url: str, host: str, port: int, target: bytes | None) -> None:
    parsed = parse_url(url)
    assert (parsed.origin.host, parsed.origin.port) == (host, port)
    assert parsed.target == (url.removeprefix("http://x").encode() if target is None else target)


def test_a_url_with_extreme_length_or_characters_is_rejected() -> None:
    for url in ("http://x/" + "a" * 70_000, "http://\ud800.example/", "http://xn--/\x7f", "http://x:" + "9" * 5_000):
        with pytest.raises(MalformedURL):
            parse_url(url)
