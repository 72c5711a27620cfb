"""URLs with expressions: how values are encoded, and which are rejected."""

import pytest

from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.history.words import SecretName, SecretPlaceholder
from durable.values import JSON


def url(text: str, **values: JSON) -> str:
    """Evaluate a text as a URL."""
    made, slots = Template.parse({"url": text}, [("url",)]).render(values)
    assert slots == ()
    assert isinstance(made, dict)
    return str(made["url"])


def slots(text: str, **values: JSON) -> list[SecretPlaceholder]:
    return list(Template.parse({"url": text}, [("url",)]).render(values)[1])


HOST = "https://api.example.com"


@pytest.mark.parametrize(
    ("text", "value", "made"),
    [
        ("/a/{{ x }}", "../admin?x=", "/a/..%2Fadmin%3Fx%3D"),
        ("/a/{{ x }}/b", "a b", "/a/a%20b/b"),
        ("/a/{{ x }}", 7, "/a/7"),
        ("/a/{{ x }}", 1.5, "/a/1.5"),
        ("/a/{{ x }}", True, "/a/true"),
        ("/a/{{ x }}", "%2e%2e%2f", "/a/%252e%252e%252f"),
        ("/a/{{ x }}", "...", "/a/..."),
        ("/a/v{{ x }}", ".", "/a/v."),
        ("/a/{{ x }}.json", "7", "/a/7.json"),
        ("/a;v={{ x }}", "1;b", "/a;v=1%3Bb"),
        ("/a?q={{ x }}&r=1", "b&c=d#e+f g", "/a?q=b%26c%3Dd%23e%2Bf%20g&r=1"),
        ("/a?q={{ x }}", "", "/a?q="),
        ("/a?q={{ x }}", "..", "/a?q=.."),
        ("/a?{{ x | urlencode }}", {"b": 1, "c": "d e"}, "/a?b=1&c=d%20e"),
        ("/a#{{ x }}", "b#c", "/a#b%23c"),
        ("/a/{{ x | urlencode }}", "a/b c", "/a/a%2Fb%20c"),
        ("/a/{{ x | upper | urlencode }}", "a/b", "/a/A%2FB"),
        ("/a/{{ (x | urlencode) }}", "a/b", "/a/a%2Fb"),
        ("/a/{{ x | urlencode | upper }}", "a/b", "/a/A%252FB"),
        ("/a/{{ x | raw_path }}", "b/c d?e=%2F#f", "/a/b/c%20d%3Fe%3D%252F%23f"),
        ("/a/{{ x | raw_path }}", "", "/a/"),
        ("/a/{{ x | raw_path if x else 'b' | urlencode }}", "c/d", "/a/c/d"),
        ("/a/{{ x | tojson }}", [1], "/a/%5B1%5D"),
        ("/Zoë/{{ x }}?a=%E9&b", "ë", "/Zoë/%C3%AB?a=%E9&b"),
    ],
)
def test_a_value_after_the_authority_is_percent_encoded(text: str, value: JSON, made: str) -> None:
    assert url(HOST + text, x=value) == HOST + made
    assert url(text, x=value) == made
    assert url("{{ base }}" + text, x=value, base=HOST) == HOST + made


@pytest.mark.parametrize("value", [".", "..", "%2e", "%2E%2e", ".%2E", "%252e.", "..;", "..;a=b", " ..", "..\t"])
@pytest.mark.parametrize("text", ["/a/{{ x }}", "/a/{{ x }}/b", "/a/{{ x }}?b", "/a/{{ x | urlencode }}#b"])
def test_a_dot_segment_is_rejected(value: str, text: str) -> None:
    for before in ("", HOST, "{{ b }}"):
        with pytest.raises(ExpressionError, match="lead to another resource"):
            url(before + text, x=value, b=HOST)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("/a/{{ x }}{{ y }}", {"x": ".", "y": "."}),
        ("/a/.{{ x }}/b", {"x": "."}),
        ("/a/{{ x }}./b", {"x": "."}),
        ("/a/{{ x }}.", {"x": ""}),
        ("/a/%2e{{ x }}", {"x": "."}),
        ("/a/{{ x }}%2e", {"x": "."}),
        ("/a/{{ x | raw_path }}", {"x": "b/../c"}),
        ("/a/{{ x | raw_path }}", {"x": "b/.%2e"}),
        ("/a/{{ x | raw_path }}.", {"x": "b/."}),
        ("/a/{{ x | raw_path }}{{ y }}", {"x": "b/.", "y": "."}),
    ],
)
def test_a_dot_segment_formed_with_the_surrounding_text_is_rejected(text: str, values: dict[str, JSON]) -> None:
    with pytest.raises(ExpressionError, match="lead to another resource"):
        url(HOST + text, **values)


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"a": 1}])
@pytest.mark.parametrize("text", ["{{ x }}", "{{ x }}/a", "/a/{{ x }}", "/a?b={{ x }}", "https://{{ x }}.example.com/"])
def test_a_value_that_is_neither_text_nor_number_is_rejected_by_name(text: str, value: JSON) -> None:
    with pytest.raises(
        ExpressionError, match=r"^x: this is (null|a list|a mapping), but a URL can contain only texts and numbers"
    ):
        url(text, x=value)


@pytest.mark.parametrize("value", [None, [], ["a"]])
@pytest.mark.parametrize("text", ["/a/{{ x | raw_path }}", "/a/{{ x | urlencode }}", "/a?{{ x | urlencode }}"])
def test_a_filter_does_not_make_an_unsuitable_value_acceptable(text: str, value: JSON) -> None:
    with pytest.raises(ExpressionError, match=r"this is (null|a list), but a URL can contain only texts and numbers"):
        url(text, x=value)


@pytest.mark.parametrize("text", ["/a/{{ x }}", "/a/{{ x }}/b", "/a/{{ x }}?b", "/a/{{ x }}{{ x }}", "{{ x }}"])
def test_an_empty_segment_is_rejected(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"this is empty, (so|but) "):
        url(text, x="")


@pytest.mark.parametrize(
    ("text", "value", "made"),
    [
        ("https://{{ x }}.example.com/a", "shop", "https://shop.example.com/a"),
        ("https://{{ x }}.example.com/a", "eu.shop-1", "https://eu.shop-1.example.com/a"),
        ("https://api-{{ x }}.example.com", "eu.west", "https://api-eu.west.example.com"),
        ("https://{{ x }}/a", "api.example.com", "https://api.example.com/a"),
        ("https://api.{{ x }}/a", "example.com", "https://api.example.com/a"),
        ("http://localhost:{{ x }}/a", 8080, "http://localhost:8080/a"),
        ("http://localhost:{{ x }}/a", "8080", "http://localhost:8080/a"),
        ("http://10.0.0.{{ x }}/a", 5, "http://10.0.0.5/a"),
        ("http://node{{ x }}:8080/a", 5, "http://node5:8080/a"),
        ("{{ x }}/a/{{ 'b c' }}", "https://a.example.com:8443/v2", "https://a.example.com:8443/v2/a/b%20c"),
        ("{{ x }}", "https://a.example.com/b?c=d e#f", "https://a.example.com/b?c=d e#f"),
    ],
)
def test_the_host_the_port_or_the_base_can_be_an_expression(text: str, value: JSON, made: str) -> None:
    assert url(text, x=value) == made


@pytest.mark.parametrize(
    "value",
    [
        *("evil.com/", "evil.com#", "evil.com?", "a@evil.com", "evil.com:80", "evil.com\\", "evil.com%2f", "a b"),
        *("", ".", "a..b", "é", "evil.com\u2044", "evil\uff0ecom/", "\u2100", "[::1]", "a\n"),
    ],
)
@pytest.mark.parametrize(
    "text", ["https://{{ x }}.example.com/", "https://{{ x }}/", "//{{ x }}/", "https://a.{{ x }}"]
)
def test_a_value_cannot_end_or_change_the_authority(text: str, value: str) -> None:
    with pytest.raises(ExpressionError, match=r"host|user or password"):
        url(text, x=value)


@pytest.mark.parametrize("value", [".evil.com", "pany", "-evil", "@evil.com", "/orders", ":80"])
@pytest.mark.parametrize(
    "text", [f"{HOST}{{{{ x }}}}", f"{HOST}{{{{ x }}}}/a", f"{HOST}{{{{ x }}}}:80/", "{{ b }}{{ x }}"]
)
def test_a_literal_host_cannot_be_extended_by_a_value(text: str, value: str) -> None:
    with pytest.raises(ExpressionError, match=r"host|user or password"):
        url(text, x=value, b=HOST)


@pytest.mark.parametrize("value", ["80/", "80.evil.com", "@evil.com", "", "-1", "٣"])
def test_a_port_must_be_a_number(value: str) -> None:
    with pytest.raises(ExpressionError, match=r"is not a port|user or password"):
        url("https://example.com:{{ x }}/", x=value)


def test_an_error_names_the_expression_and_its_position() -> None:
    with pytest.raises(ExpressionError) as refused:
        url("https://example.com/{{ a }}\n/{{ inputs.order.id }}", a=1, inputs={"order": {"id": None}})
    assert refused.value.message.startswith("inputs.order.id: this is null")
    assert (refused.value.line, refused.value.column) == (2, 5)


def test_a_secret_after_the_authority_is_encoded_when_it_is_filled_in() -> None:
    token, plain = SecretName("TOKEN", is_encoded=True), SecretName("TOKEN")
    slot = ("url",)
    assert slots(f"{HOST}/bot{{{{ secrets.TOKEN }}}}/{{{{ x }}}}", x="a/b") == [
        SecretPlaceholder(slot, (f"{HOST}/bot", token, "/a%2Fb"))
    ]
    assert slots("/a?key={{ secrets.TOKEN }}") == [SecretPlaceholder(slot, ("/a?key=", token))]
    assert slots("{{ secrets.TOKEN }}/{{ x }}", x="a/b") == [SecretPlaceholder(slot, (plain, "/a%2Fb"))]
    assert slots("https://{{ secrets.TOKEN }}.example.com/") == [
        SecretPlaceholder(slot, ("https://", plain, ".example.com/"))
    ]
    with pytest.raises(ExpressionError, match="lead to another"):
        slots("{{ secrets.TOKEN }}/{{ x }}", x="..")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("{{ x }}", ["x"]),
        ("{{ x }}/a/{{ y }}", ["x"]),
        ("https://{{ x }}/{{ y }}", ["x"]),
        ("https://api.{{ x }}:{{ y }}/", ["x"]),
        ("https://{{ x }}.example.com/{{ y }}", []),
        ("https://example.com/{{ y }}", []),
        ("/a/{{ y }}", []),
        ("{{ secrets.BASE }}/{{ y }}", []),
    ],
)
def test_the_expressions_that_determine_the_target_of_a_url_are_known(text: str, targets: list[str]) -> None:
    assert [each.source for each in Template.parse(text, [()]).targets] == targets
