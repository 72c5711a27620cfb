"""The redactor removes secrets from texts and JSON in any encoding, in linear time."""

import base64
import html
import json
import traceback
from collections.abc import Callable
from html.entities import html5
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from durable.redactor import LAYERS, LONGEST_WORD, MARK, WINDOW, Redactor
from durable.values import JSON

CANARY = 'canary/7+Q "é"\\n&<=% ünï'
PLAIN_CANARY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
PRIVATE_KEY = (
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"
)

NAMES = {char: name for name, char in html5.items() if name.endswith(";")}

values = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=40)
texts = st.text(st.characters(codec="utf-8"), max_size=60)


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
        **_letter_by_letter(value),
        "lower": value.lower(),
        "upper": value.upper(),
        "hex": data.hex(),
        "hex upper": data.hex().upper(),
        "reversed": value[::-1],
        "bytes": repr(data),
        "taken for Latin-1": data.decode("latin-1"),
        **_in_latin_1(value),
        **_in_lines(value),
        **{f"base64 at {n}": base64.b64encode(b"user:"[:n] + data + b"\0tail").decode() for n in range(1, 5)},
        **{f"base64 url-safe at {n}": base64.urlsafe_b64encode(b"\xffuser"[:n] + data).decode() for n in range(1, 5)},
    }


def _in_latin_1(value: str) -> dict[str, str]:
    if max(value) > "ÿ":
        return {}
    data = value.encode("latin-1")
    return {"quote Latin-1": quote(data, safe=""), "quote plus Latin-1": quote_plus(data)}


def _in_lines(value: str) -> dict[str, str]:
    """Broken by line breaks and spaces; only long values are matched across them."""
    if len("".join(value.split())) <= LONGEST_WORD:
        return {}
    data, half = value.encode(), len(value) // 2
    in_a_mail = base64.encodebytes(b"x" * 49 + data).decode()[60:]  # whose lines have 76 characters
    return {
        "base64 in a mail": in_a_mail,
        "base64 in a mail in JSON": json.dumps(in_a_mail),
        "base64 in a mail in JSON in JSON": json.dumps(json.dumps(in_a_mail.replace("\n", "\r\n"))),
        "folded": f"{value[:half]}\r\n {value[half:]}",
        "unfolded": f"{value[:half]} {value[half:]}",
        "hex in pairs": data.hex(" "),
        "reversed in lines": "\n".join(value[::-1][start : start + 9] for start in range(0, len(value), 9)),
    }


LETTERS: dict[str, Callable[[str], str]] = {
    "percent": lambda char: "".join(f"%{byte:02X}" for byte in char.encode()),
    "percent lower": lambda char: "".join(f"%{byte:02x}" for byte in char.encode()),
    "percent twice": lambda char: "".join(f"%25{byte:02x}" for byte in char.encode()),
    "percent thrice": lambda char: "".join(f"%2525{byte:02X}" for byte in char.encode()),
    "json": lambda char: json.dumps(char)[1:-1] if ord(char) > 0xFFFF else f"\\u{ord(char):04x}",
    "json upper": lambda char: json.dumps(char)[1:-1] if ord(char) > 0xFFFF else f"\\u{ord(char):04X}",
    "json in json": lambda char: "\\\\u0000"[:3] + f"{ord(char):04x}" if ord(char) <= 0xFFFF else char,
    "python": lambda char: f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\U{ord(char):08x}",
    "octal": lambda char: "".join(f"\\{byte:03o}" for byte in char.encode()),
    "javascript": lambda char: f"\\u{{{ord(char):x}}}",
    "javascript escape": lambda char: f"%u{ord(char):04X}" if ord(char) <= 0xFFFF else char,
    "html": lambda char: f"&#{ord(char)};",
    "html named": lambda char: f"&{NAMES[char]}" if char in NAMES else char,
    "html hex": lambda char: f"&#x{ord(char):X};",
    "html padded": lambda char: f"&#x{ord(char):06x};",
    "html in html": lambda char: f"&amp;#{ord(char)};",
}


def _letter_by_letter(value: str) -> dict[str, str]:
    """Every letter escaped, every second letter escaped, and each letter escaped in a different way."""
    ways = list(LETTERS.values())
    return {
        **{f"{kind} each": "".join(map(way, value)) for kind, way in LETTERS.items()},
        **{
            f"{kind} every second": "".join(way(c) if n % 2 else c for n, c in enumerate(value))
            for kind, way in LETTERS.items()
        },
        "mixed": "".join(ways[n % len(ways)](char) for n, char in enumerate(value)),
    }


def split_percent(quoted: str) -> list[str]:
    first, *rest = quoted.split("%")
    return [first, *(piece for part in rest for piece in ("%" + part[:2], part[2:]))]


@pytest.mark.parametrize("value", [CANARY, PLAIN_CANARY, "~~\\\\ \" ' / //", "x" * 5, "1234", "🗝🗝🗝🗝", "ab\tc\nd\x7fe"])
def test_a_secret_is_redacted_in_every_encoding(value: str) -> None:
    redactor = Redactor([value])
    for kind, spelled in spellings(value).items():
        redacted = redactor.redact_text(f"before {spelled} after")
        assert MARK in redacted, kind
        assert len(redacted) <= len("before *** after") + 32, (
            f"{kind}: {redacted}"
        )  # the text that frames the value may remain
        assert value not in redacted, kind
        assert redactor.redact_text(redacted) == redacted, kind


def test_a_plain_encoding_is_redacted_with_its_padding() -> None:
    for value in ("secret", "secret7", "secret77"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            assert Redactor([value]).redact_text(f"<{encode(value.encode()).decode()}>") == f"<{MARK}>"


def test_a_secret_is_redacted_from_values_and_keys_of_json() -> None:
    redactor = Redactor([CANARY, "31415926"])
    value: JSON = {CANARY: [CANARY, {"a": f"x{CANARY}y"}], "n": [31415926, 3141592, True, None, 1.5]}
    assert redactor.redact(value) == {MARK: [MARK, {"a": f"x{MARK}y"}], "n": [MARK, 3141592, True, None, 1.5]}


def test_a_secret_is_redacted_from_a_traceback() -> None:
    passwords: dict[str, str] = {}
    with pytest.raises(KeyError) as caught:
        passwords[CANARY]
    trace = "".join(traceback.format_exception(caught.value))
    redacted = Redactor([CANARY]).redact_text(trace)
    assert f"KeyError: '{MARK}'" in redacted
    assert "canary" not in redacted


def test_each_long_line_of_a_private_key_is_redacted() -> None:
    redactor = Redactor([PRIVATE_KEY])
    assert redactor.redact_text(PRIVATE_KEY) == MARK
    assert redactor.redact_text(json.dumps(PRIVATE_KEY)) == f'"{MARK}"'
    indented = redactor.redact_text("".join(f"    > {line}\n" for line in PRIVATE_KEY.splitlines()))
    assert "MIIE" not in indented
    assert "AQEF" not in indented


def test_a_short_value_is_redacted_only_where_it_is_the_whole_text() -> None:
    redactor = Redactor(["abc"])
    assert redactor.redact(["abc", "abcd", {"abc": 1}]) == [MARK, "abcd", {MARK: 1}]


def test_a_short_value_is_not_matched_across_white_space() -> None:
    assert Redactor(["demo"]).redact_text("I made more,\nand mode mo") == "I made more,\nand mode mo"


@pytest.mark.parametrize("value", ["Zoë's-canary-1", "canary-Ж-0123456", PLAIN_CANARY])
def test_the_text_around_a_multi_line_secret_stays(value: str) -> None:
    half = len(value) // 2
    text = f"über \n{value[:half]}\r\n {value[half:]}\n  C:\\new ß"
    assert Redactor([value]).redact_text(text) == f"über \n{MARK}\n  C:\\new ß"


def test_overlapping_secrets_are_both_redacted() -> None:
    assert Redactor(["abcdef", "defghi", "abcd"]).redact_text("-abcdefghi-abcdx-") == f"-{MARK}-{MARK}x-"


def test_a_redactor_redacts_secrets_learned_later() -> None:
    redactor = Redactor()
    assert redactor.redact_text("later!") == "later!"
    redactor.learn("later")
    redactor.learn("")
    assert redactor.redact_text("later!") == f"{MARK}!"


def test_a_redactor_without_secrets_changes_nothing() -> None:
    value: JSON = {"a": [1, "b"]}
    assert Redactor().redact(value) is value


@pytest.mark.slow
@pytest.mark.parametrize("value", [CANARY, PLAIN_CANARY, "🗝🗝🗝🗝"])
def test_a_secret_is_redacted_anywhere_in_a_long_text(value: str) -> None:
    redactor = Redactor([value])
    for spelled in spellings(value).values():
        for before in (0, WINDOW - 40, WINDOW - 1, 2 * WINDOW - 1_000, 3 * WINDOW):
            redacted = redactor.redact_text("é" * before + spelled + "-" * (3 * WINDOW - before))
            assert MARK in redacted
            assert len(redacted) <= 3 * WINDOW + 32


def test_a_number_that_is_a_secret_is_redacted() -> None:
    values: list[JSON] = [12345678901234567890, 3.14159, 2718, 271, 0.5]
    redactor = Redactor(["12345678901234567890", "3.14159", "2718", "271"])
    assert redactor.redact(values) == [MARK, MARK, MARK, 271, 0.5]


def test_text_that_only_resembles_a_secret_is_scanned_quickly() -> None:
    """Backtracking patterns would never return on these; each must take a fraction of a second."""
    escaped = 'a\\"' * 20 + "x"
    redactor = Redactor([escaped, "\\" * 30, "%25" * 8, "a" * 40 + "!"])
    for text in ('a\\\\"' * 100_000, "\\" * 300_000, "%25" * 100_000, "a" * 300_000, escaped[:-1] * 5_000):
        redactor.redact_text(text)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=4), st.data())
@example(["0000"], ["", "0", ""], None)
def test_redaction_is_complete_and_idempotent(
    secrets: list[str], around: list[str], data: st.DataObject | None
) -> None:
    spelled = [spelling for secret in secrets for spelling in spellings(secret).values()]
    joints = [data.draw(st.sampled_from(spelled)) if data else spelled[0] for _ in around]
    text = "".join(part for pair in zip(around, joints, strict=True) for part in pair)
    redactor = Redactor(secrets)
    redacted = redactor.redact_text(text)
    assert not any(secret in redacted for secret in secrets)
    assert redactor.redact_text(redacted) == redacted
    assert redactor.redact({text: [text]}) == {redacted: [redacted]}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def encode_in_layers(link: str) -> dict[str, str]:
    """A link after one pipeline filter after another."""
    return {
        "base64 of base64": _base64(_base64(link)),
        "base64 three times": _base64(_base64(_base64(link))),
        "base64 of base64 in a text": _base64(f"x{_base64(link)}"),
        "base64 of base64, quoted": quote(_base64(_base64(link)), safe=""),
        "base64 of base64, cut": _base64(_base64(link))[3:],
        "base64 of base64 in JSON": json.dumps({"a": _base64(json.dumps({"b": _base64(link)}))}),
        "base64 of capitals": _base64(link.upper()),
        "base64 of letters that are quoted": _base64("".join(f"%{ord(letter):02x}" for letter in link)),
        "base64 of the link reversed": _base64(link[::-1]),
        "base64 of hex": _base64(link.encode().hex()),
        "hex of base64": _base64(link).encode().hex(),
        "hex of hex": link.encode().hex().encode().hex(),
        "base64 reversed": _base64(link)[::-1],
        "base64 in capitals": _base64(link).upper(),
        "base64 in small letters, reversed": _base64(link).lower()[::-1],
    }


TOKEN = "3b9196f28c8e58ddbe5fbdd81eb95893"
LAYERED = encode_in_layers(f"http://127.0.0.1:8400/waits/run_01m8q3xyqk00140q7z3yht7j51/ask/{TOKEN}c9386f2faf63")


@pytest.mark.parametrize("written", LAYERED.values(), ids=LAYERED)
def test_a_nested_encoding_of_a_secret_is_redacted_where_layers_are_decoded(written: str) -> None:
    redactor = Redactor([TOKEN], layers=LAYERS)

    for text in (written, f"Approve it: {written}, today", f"{'a long text. ' * (WINDOW // 10)}{written}"):
        redacted = redactor.redact_text(text)
        assert MARK in redacted
        assert written not in redacted
        assert redactor.redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        _base64("a text that is quite long, and that nobody has to hide from anybody " * 9),
        base64.b64encode(bytes(range(256)) * 9).decode(),
        "/waits/run_01m8q3xyqk00140q7z3yht7j51/ask/and/a/path/that/is/very/long/indeed",
        TOKEN[::2] * 9,
        "a" * 99,
    ],
)
def test_other_encoded_text_stays_where_layers_are_decoded(text: str) -> None:
    assert Redactor([TOKEN], layers=LAYERS).redact_text(text) == text
