"""Secrets are found where they are set, stand only in their slots, and are gone from everything else."""

import base64
import html
import json
import os
import traceback
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from durable.history import SecretName, Slot
from durable.secrets import MARK, Redactor, SecretMissing, Secrets, fill
from durable.values import JSON

CANARY = 'canary/7+Q "é"\\n&<=% ünï'
PLAIN_CANARY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
PRIVATE_KEY = (
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"
)

values = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=40)
texts = st.text(st.characters(codec="utf-8"), max_size=60)


# -- looking up -------------------------------------------------------------------------------------------------


def test_a_secret_is_its_variable() -> None:
    assert Secrets({"WAYPOST_SECRET_SHOP": "s3cret"}).get("SHOP") == "s3cret"


@pytest.mark.parametrize(
    ("content", "value"), [("abc\n", "abc"), ("abc\r\n", "abc"), ("abc\n\n", "abc\n"), ("abc", "abc"), ("a b ", "a b ")]
)
def test_a_secret_from_a_file_loses_only_its_final_newline(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "shop").write_bytes(content.encode())
    assert Secrets({"WAYPOST_SECRET_SHOP_FILE": str(tmp_path / "shop")}).get("SHOP") == value


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "shop"
    file.write_text("before")
    secrets = Secrets({"WAYPOST_SECRET_SHOP_FILE": str(file)})
    assert secrets.get("SHOP") == "before"
    file.write_text("after!")
    assert secrets.get("SHOP") == "after!"
    assert secrets.redactor.text("before, after!") == f"{MARK}, {MARK}"


def test_the_variable_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("from the file")
    environment = {"WAYPOST_SECRET_SHOP": "from the variable", "WAYPOST_SECRET_SHOP_FILE": str(tmp_path / "shop")}
    assert Secrets(environment).get("SHOP") == "from the variable"


def test_a_missing_secret_says_the_two_ways_to_set_it() -> None:
    with pytest.raises(SecretMissing, match="secret SHOP is not set") as missing:
        Secrets({}).get("SHOP")
    assert "WAYPOST_SECRET_SHOP," in str(missing.value)
    assert "WAYPOST_SECRET_SHOP_FILE" in str(missing.value)
    assert missing.value.name == "SHOP"


def test_an_empty_secret_is_as_good_as_none() -> None:
    with pytest.raises(SecretMissing, match="SHOP is empty"):
        Secrets({"WAYPOST_SECRET_SHOP": ""}).get("SHOP")


def test_a_file_that_cannot_be_used_is_a_missing_secret_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in [
        ("none", "No such file"),
        ("bytes", "not UTF-8"),
        ("pipe", "not a regular file"),
        ("", "not a"),
    ]:
        with pytest.raises(SecretMissing, match=reason):
            Secrets({"WAYPOST_SECRET_SHOP_FILE": str(tmp_path / name)}).get("SHOP")


def test_names_are_of_secrets_only_and_has_tells_which_can_be_read(tmp_path: Path) -> None:
    environment = {
        "WAYPOST_SECRET_B": "bbbb",
        "WAYPOST_SECRET_A_FILE": str(tmp_path / "none"),
        "WAYPOST_PORT": "1",
        "PATH": "/bin",
    }
    secrets = Secrets(environment)
    assert secrets.names() == ("A", "B")
    assert [secrets.has(name) for name in ("A", "B", "C")] == [False, True, False]


def test_a_path_is_never_taken_for_the_value_of_a_secret() -> None:
    assert not Secrets({"WAYPOST_SECRET_SHOP_FILE": "/run/secrets/shop"}).has("SHOP_FILE")


# -- filling ----------------------------------------------------------------------------------------------------


def test_slots_are_filled_in_a_copy() -> None:
    secrets = Secrets({"WAYPOST_SECRET_A": "aaaa", "WAYPOST_SECRET_B": "bbbb"})
    value: JSON = {"headers": {"x": "1"}, "list": [{}, {"password": None}]}
    before = json.dumps(value)
    slots = [
        Slot(("headers", "Authorization"), ("Bearer ", SecretName("A"), ":", SecretName("B"))),
        Slot(("list", 1, "password"), (SecretName("B"),)),
    ]
    assert fill(value, slots, secrets) == (
        {"headers": {"x": "1", "Authorization": "Bearer aaaa:bbbb"}, "list": [{}, {"password": "bbbb"}]},
        frozenset({"aaaa", "bbbb"}),
    )
    assert json.dumps(value) == before


def test_a_slot_can_be_the_whole_input() -> None:
    filled, used = fill(None, [Slot((), (SecretName("A"),))], Secrets({"WAYPOST_SECRET_A": "aaaa"}))
    assert filled == "aaaa"
    assert used == {"aaaa"}


def test_a_payload_that_imitates_a_reference_stays_data() -> None:
    secrets = Secrets({"WAYPOST_SECRET_A": PLAIN_CANARY})
    slot = Slot(("key",), (SecretName("A"),))
    imitation = msgspec.to_builtins(slot)
    payload: dict[str, JSON] = {"text": "{{ secrets.A }}", "slot": imitation, "secret": "A", "key": None}
    filled, used = fill(payload, [slot], secrets)
    assert filled == {**payload, "key": PLAIN_CANARY}
    assert used == {PLAIN_CANARY}
    assert fill(payload, [], secrets) == (payload, frozenset())


@pytest.mark.parametrize("pointer", [("no", "where"), ("list", 3), ("list", "x"), ("text", "x"), (0,)])
def test_a_slot_without_a_place_is_an_error(pointer: tuple[str | int, ...]) -> None:
    with pytest.raises(LookupError, match="in which a secret could stand"):
        fill({"list": [1], "text": "t"}, [Slot(pointer, (SecretName("A"),))], Secrets({"WAYPOST_SECRET_A": "aaaa"}))


def test_filling_a_missing_secret_raises_it() -> None:
    with pytest.raises(SecretMissing):
        fill({}, [Slot(("a",), (SecretName("A"),))], Secrets({}))


# -- redacting --------------------------------------------------------------------------------------------------


def spellings(value: str) -> dict[str, str]:
    """The ways in which services, libraries and tracebacks write a value."""
    data = value.encode()
    quoted = quote(value, safe="")
    return {
        "raw": value,
        "quote": quote(value),
        "quote all": quoted,
        "quote lower": "".join(part.lower() if part.startswith("%") else part for part in split_percent(quoted)),
        "quote twice": quote(quoted, safe=""),
        "quote plus": quote_plus(value),
        "urlencode": urlencode({"key": value}),
        "json": json.dumps(value),
        "json unicode": json.dumps(value, ensure_ascii=False),
        "json slash": json.dumps(value).replace("/", "\\/"),
        "json in json": json.dumps(json.dumps({"key": value})),
        "json in json in json": json.dumps(json.dumps(json.dumps({"key": value}))),
        "repr": repr({"key": value}),
        "ascii": ascii(value),
        "html": html.escape(value),
        "base64": base64.b64encode(data).decode(),
        "base64 url-safe": base64.urlsafe_b64encode(data).decode(),
        "base64 quoted": quote(base64.b64encode(data).decode(), safe=""),
        **{f"base64 at {n}": base64.b64encode(b"user:"[:n] + data + b"\0tail").decode() for n in range(1, 5)},
        **{f"base64 url-safe at {n}": base64.urlsafe_b64encode(b"\xffuser"[:n] + data).decode() for n in range(1, 5)},
    }


def split_percent(quoted: str) -> list[str]:
    first, *rest = quoted.split("%")
    return [first, *(piece for part in rest for piece in ("%" + part[:2], part[2:]))]


@pytest.mark.parametrize("value", [CANARY, PLAIN_CANARY, "~~\\\\ \" ' / //", "x" * 5, "1234", "🗝🗝🗝🗝", "ab\tc\nd\x7fe"])
def test_a_secret_is_gone_in_every_spelling(value: str) -> None:
    redactor = Redactor([value])
    for kind, spelled in spellings(value).items():
        redacted = redactor.text(f"before {spelled} after")
        assert MARK in redacted, kind
        assert len(redacted) <= len("before *** after") + 32, f"{kind}: {redacted}"  # what frames the value may remain
        assert value not in redacted, kind
        assert redactor.text(redacted) == redacted, kind


def test_a_plain_encoding_is_redacted_with_its_padding() -> None:
    for value in ("secret", "secret7", "secret77"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            assert Redactor([value]).text(f"<{encode(value.encode()).decode()}>") == f"<{MARK}>"


def test_a_secret_is_gone_from_values_and_keys_of_json() -> None:
    redactor = Redactor([CANARY, "31415926"])
    value: JSON = {CANARY: [CANARY, {"a": f"x{CANARY}y"}], "n": [31415926, 3141592, True, None, 1.5]}
    assert redactor.value(value) == {MARK: [MARK, {"a": f"x{MARK}y"}], "n": [MARK, 3141592, True, None, 1.5]}


def test_a_secret_is_gone_from_a_traceback() -> None:
    passwords: dict[str, str] = {}
    with pytest.raises(KeyError) as caught:
        passwords[CANARY]
    trace = "".join(traceback.format_exception(caught.value))
    redacted = Redactor([CANARY]).text(trace)
    assert f"KeyError: '{MARK}'" in redacted
    assert "canary" not in redacted


def test_each_long_line_of_a_private_key_is_gone() -> None:
    redactor = Redactor([PRIVATE_KEY])
    assert redactor.text(PRIVATE_KEY) == MARK
    assert redactor.text(json.dumps(PRIVATE_KEY)) == f'"{MARK}"'
    indented = redactor.text("".join(f"    > {line}\n" for line in PRIVATE_KEY.splitlines()))
    assert "MIIE" not in indented
    assert "AQEF" not in indented


def test_a_short_value_is_replaced_only_where_it_is_the_whole_text() -> None:
    redactor = Redactor(["abc"])
    assert redactor.value(["abc", "abcd", {"abc": 1}]) == [MARK, "abcd", {MARK: 1}]


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    assert Redactor(["abcdef", "defghi", "abcd"]).text("-abcdefghi-abcdx-") == f"-{MARK}-{MARK}x-"


def test_a_redactor_learns() -> None:
    redactor = Redactor()
    assert redactor.text("later!") == "later!"
    redactor.learn("later")
    redactor.learn("")
    assert redactor.text("later!") == f"{MARK}!"


def test_a_redactor_without_secrets_changes_nothing() -> None:
    value: JSON = {"a": [1, "b"]}
    assert Redactor().value(value) is value


def test_what_only_resembles_a_secret_costs_little() -> None:
    """Patterns that backtrack would never return from these; each takes a fraction of a second."""
    escaped = 'a\\"' * 20 + "x"
    redactor = Redactor([escaped, "\\" * 30, "%25" * 8, "a" * 40 + "!"])
    for text in ('a\\\\"' * 100_000, "\\" * 300_000, "%25" * 100_000, "a" * 300_000, escaped[:-1] * 5_000):
        redactor.text(text)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=4), st.data())
@example(["0000"], ["", "0", ""], None)
def test_no_secret_is_left_and_redacting_again_changes_nothing(
    secrets: list[str], around: list[str], data: st.DataObject | None
) -> None:
    spelled = [spelling for secret in secrets for spelling in spellings(secret).values()]
    joints = [data.draw(st.sampled_from(spelled)) if data else spelled[0] for _ in around]
    text = "".join(part for pair in zip(around, joints, strict=True) for part in pair)
    redactor = Redactor(secrets)
    redacted = redactor.text(text)
    assert not any(secret in redacted for secret in secrets)
    assert redactor.text(redacted) == redacted
    assert redactor.value({text: [text]}) == {redacted: [redacted]}
