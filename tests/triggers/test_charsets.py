"""Text is decoded in its declared charset on every way in, and decoding errors are reported."""

import codecs

import pytest
import webencodings  # type: ignore[import-untyped]

from connectors.wire.response import Response
from durable.charsets import Undecodable, UnknownCharset, decode_text, find_charset
from durable.media_type import MediaType, parse_media_type
from durable.values import JSON, NotJSON
from tests.triggers.charsets import LABELS, NOT_DECODED, sample, ways
from triggers.http.body import BadRequest, parse_and_encode, parse_body, parse_json_body

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("label", LABELS)
def test_every_standard_label_is_decoded_on_every_way_in_or_named_in_the_error(label: str) -> None:
    text = sample(label)
    for name, decode in ways(label, text).items():
        if label in NOT_DECODED and name not in ("JSON", "an answer"):
            with pytest.raises(BadRequest, match=f"'{label}' is not known") as caught:
                decode()
            assert caught.value.status == 415
        elif label in NOT_DECODED:
            assert decode() == text, "in UTF-8, since the label is unknown"
        else:
            assert decode() == text, name


def test_all_but_three_standard_labels_are_decoded() -> None:
    assert len(LABELS) == 228
    assert {"iso-2022-cn", "iso-2022-cn-ext", "replacement"} == NOT_DECODED


@pytest.mark.parametrize("label", ["latin-1", "UTF_8", "utf-8-sig", "cp850", "IBM437", " utf-8 ", "utf-32", "UTF-32BE"])
def test_charsets_outside_the_standard_are_known_by_their_python_names(label: str) -> None:
    assert find_charset(label)


@pytest.mark.parametrize("label", ["idna", "zlib", "unicode_escape", "utf-7", "", "x" * 5_000, "base64", "../utf-8"])
def test_codecs_that_do_not_decode_to_text_are_unknown_charsets(label: str) -> None:
    with pytest.raises(UnknownCharset, match="is not known; send UTF-8"):
        find_charset(label)


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("declared", ["", "; charset=utf-8", "; charset=ISO-8859-1"])
def test_a_byte_order_mark_is_removed_and_overrides_the_declared_charset(charset: str, declared: str) -> None:
    assert parse_body('{"a": "é"}'.encode(charset), f"application/json{declared}") == {"a": "é"}
    assert parse_body("é".encode(charset), f"text/plain{declared}") == "é"
    assert parse_body("<a>é</a>".encode(charset), f"text/xml{declared}") == "<a>é</a>"
    assert parse_body("name=%C3%A9&b=é".encode(charset), f"{FORM}{declared}") == {"name": "é", "b": "é"}
    assert parse_body('{"a": 1}'.encode(charset), None) == {"a": 1}
    assert parse_json_body('{"a": 1}'.encode(charset), None) == {"a": 1}
    assert Response(200, {"content-type": f"application/json{declared}"}, '{"a": 1}'.encode(charset)).json() == {"a": 1}
    assert Response(200, {"content-type": f"text/html{declared}"}, "é".encode(charset)).text() == "é"


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_json_and_xml_in_utf_16_and_32_need_no_byte_order_mark(order: str) -> None:
    assert parse_body('{"a": "é"}'.encode(order), "application/json") == {"a": "é"}
    assert parse_body('<?xml version="1.0"?><a>é</a>'.encode(order), "text/xml") == '<?xml version="1.0"?><a>é</a>'
    assert parse_body("<a>é</a>".encode(order), f"text/plain; charset={order[:6]}") == "<a>é</a>"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE + b"\0" * 2])
def test_a_body_that_is_only_a_byte_order_mark_is_empty(mark: bytes) -> None:
    assert parse_body(mark, "application/json") is None
    assert parse_body(mark, "text/plain") == ""


def test_an_event_keeps_json_in_another_charset_as_utf_8() -> None:
    parsed, kept = parse_and_encode('{"a": "é"}'.encode("utf-16"), "application/json")
    assert parsed == kept.load() == {"a": "é"}
    assert kept.text == '{"a": "é"}'


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"name=Ren%E9", f"{FORM}; charset=windows-1252", {"name": "René"}),
        (b"name=Ren\xe9", f"{FORM}; charset='ISO-8859-1'", {"name": "René"}),
        (b"name=Ren%E9&charset=windows-1252", FORM, {"name": "René", "charset": "windows-1252"}),
        (b"_charset_=iso-8859-1&charset=gbk&n=%E9", FORM, {"_charset_": "iso-8859-1", "charset": "gbk", "n": "é"}),
        (b"Charset=Windows-1252&name=%E9", FORM, {"Charset": "Windows-1252", "name": "é"}),
        (b"charset=utf-16&name=Ren%C3%A9", FORM, {"charset": "utf-16", "name": "René"}),
        (b"charset=nonsense&name=Ren%C3%A9", FORM, {"charset": "nonsense", "name": "René"}),
        (b"charset=windows-1252&n=%81%8D%C3%A9", FORM, {"charset": "windows-1252", "n": "\x81\x8dÃ©"}),
        (b"n=%FF%FEa", f"{FORM}; charset=latin1", {"n": "ÿþa"}),
        (b"%EF%BB%BFname=1", FORM, {"name": "1"}),
        (b"n=%83e%83X%83g", f"{FORM}; charset=Shift_JIS", {"n": "テスト"}),
        (b'{"a": "\xe9"}', "application/json; charset=ISO-8859-1", {"a": "é"}),
        (b'{"a": "\xc3\xa9"}', "application/json; charset=ISO-8859-1", {"a": "é"}),
        (b'{"a": "\xc3\xa9"}', "application/json; charset=nonsense", {"a": "é"}),
        (b"\x80", "text/plain; charset=ascii", "€"),
        ('<?xml version="1.0" encoding="windows-1251"?><а/>'.encode("cp1251"), "text/xml", "<а/>"),
        (b"<?xml version='1.0' encoding='UTF-16'?><a/>", "application/xml", "<a/>"),
        (b"<?xml version='1.0' encoding='gbk'?>\xe9", "text/xml; charset=latin1", "é"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>\xe9", None, "é"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>\xe9", "application/soap+xml", "é"),
        ('<html><META CHARSET="windows-1251"><p>я'.encode("cp1251"), "text/html", "<p>я"),
        (b"<meta http-equiv=c content='text/html; charset=latin1'>\xe9", "application/xhtml+xml", "é"),
        (b"<meta charset=utf-16>\xc3\xa9", "text/html", "é"),
    ],
)
def test_a_body_is_decoded_with_its_declared_charset(body: bytes, content_type: str | None, value: JSON) -> None:
    parsed = parse_body(body, content_type)
    assert parsed == value or (isinstance(parsed, str) and isinstance(value, str) and parsed.endswith(value))


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"name=Ren%E9", FORM, r"the field 'name' is not UTF-8: byte 3 \(0xE9\) cannot be decoded; send UTF-8, or"),
        (b"a\xff", "text/plain", r"it is not UTF-8: byte 1 \(0xFF\) cannot be decoded; send UTF-8, or declare"),
        (b"a\xff", "text/plain; charset=gbk", r"it is not gbk: byte 1 \(0xFF\) cannot be decoded; declare the charset"),
        (b"<a>\xe9</a>", "text/xml", r"it is not UTF-8: byte 3"),
        (b"a=%81", f"{FORM}; charset=shift_jis", r"the field 'a' is not shift_jis: byte 0"),
        (b'{"a": "\xff"}', "application/json; charset=gbk", r"it is not gbk: byte 7"),
        (b'{"a": "\xff"}', "application/json; charset=nonsense", r"byte 7 .*; the charset 'nonsense' is not known"),
        (b'{"a": "\xff"}', "application/json", r"byte 7 \(0xFF\) is not UTF-8"),
        (b"\xff\xfea", "application/json", r"it is not UTF-16-LE: byte 2"),
    ],
)
def test_a_decoding_error_names_the_charset_the_byte_and_a_fix(body: bytes, content_type: str, expected: str) -> None:
    with pytest.raises(BadRequest, match=expected) as caught:
        parse_body(body, content_type)
    assert caught.value.status == 400


def test_a_trigger_can_set_the_charset_for_bodies_that_declare_none() -> None:
    assert parse_body(b"name=Ren%E9", FORM, "windows-1252") == {"name": "René"}
    assert parse_body(b"\xe9", "text/plain", "windows-1252") == "é"
    assert parse_body(b"name=%C3%A9", f"{FORM}; charset=utf-8", "windows-1252") == {"name": "é"}


def test_a_response_is_decoded_with_its_declared_charset() -> None:
    def answer(content_type: str, body: bytes) -> Response:
        return Response(200, {"content-type": content_type}, body)

    assert answer("application/json; charset=ISO-8859-1", b'"\xe9"').json() == "é"
    assert answer("text/plain; charset='gbk'", "中文".encode("gbk")).text() == "中文"
    assert answer("text/xml", b"<?xml version='1.0' encoding='latin1'?>\xe9").text() == (
        "<?xml version='1.0' encoding='latin1'?>é"
    )
    assert answer("text/plain; charset=gbk", b"\xff").text() is None
    assert answer("text/plain; charset=nonsense", b"\xff").text() is None
    with pytest.raises(NotJSON, match="it is not gbk: byte 1"):
        answer("application/json; charset=gbk", b'"\xff"').json()


@pytest.mark.parametrize(
    ("header", "kind", "charset"),
    [
        ("text/plain", "text/plain", None),
        ("Text/Plain ; Charset = UTF-8", "text/plain", "UTF-8"),
        ("text/plain; charset='gbk'", "text/plain", "gbk"),
        ('text/plain; charset="g\\bk"; x=y', "text/plain", "gbk"),
        ('multipart/form-data; boundary="a;charset=x"; charset=gbk', "multipart/form-data", "gbk"),
        ("text/plain; charset=gbk; charset=utf-8", "text/plain", "gbk"),
        ("text/plain; charset=", "text/plain", None),
        ("application/json, text/plain", "application/json", None),
        ("json", "", None),
        ("charset=utf-8", "", None),
        ("", "", None),
        (";;;", "", None),
    ],
)
def test_a_content_type_is_parsed_into_media_type_and_charset(header: str, kind: str, charset: str | None) -> None:
    assert parse_media_type(header) == MediaType(kind, charset)


def test_bytes_that_windows_leaves_undefined_are_decoded_as_the_standard_says() -> None:
    assert decode_text(bytes(range(0x80, 0xA0)), "latin1").encode("utf-8")
    with pytest.raises(Undecodable, match="byte 0"):
        decode_text(b"\xd2", "windows-1253")


def test_the_labels_match_those_of_webencodings() -> None:
    assert set(LABELS) == set(webencodings.LABELS)
