"""An HTTP response: status, headers, and a body of limited size."""

from collections.abc import Mapping, Sequence

import msgspec

from connectors.wire.request import Header
from durable import values
from durable.charsets import (
    UTF_8,
    Undecodable,
    UnknownCharset,
    convert_json_to_utf_8,
    decode_text,
    find_charset,
    find_inner_charset,
)
from durable.media_type import MediaType, parse_media_type
from durable.values import JSON, NotJSON


class Response(msgspec.Struct, frozen=True):
    """A response as received, with its content coding undone.

    `headers`: by lower-case name; the values of a repeated header are joined by commas.
    `repeated`: the individual values of repeated headers, and those of Set-Cookie even if there is only one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    repeated: Mapping[str, Sequence[str]] = {}

    @property
    def is_success(self) -> bool:
        """Whether the service did what was requested (2xx); a redirect only says where it might be done."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> MediaType:
        """The media type in the Content-Type header."""
        return parse_media_type(self.headers.get("content-type", ""))

    def json(self) -> JSON:
        """Return the body as JSON; raises `durable.values.NotJSON`, which does not quote it."""
        try:
            body = convert_json_to_utf_8(self.body, self.media_type.charset or UTF_8)
        except Undecodable as error:
            raise NotJSON(str(error)) from None
        if values.has_too_many_values(body):
            raise NotJSON(f"it has more than {values.VALUES_LIMIT:,} values")
        return values.decode(body, quotes=False)

    def text(self) -> str | None:
        """Return the body as text; None if it is not text."""
        try:
            return self.read_text()
        except (Undecodable, UnknownCharset):
            return None

    def read_text(self) -> str:
        """Decode the body in the charset named by the header, or by the XML or HTML itself, and otherwise in UTF-8;
        raises `Undecodable`, and `UnknownCharset` if UTF-8 does not fit either."""
        media = self.media_type
        if media.is_binary:  # files that are not UTF-16 may also begin with FF FE
            return find_charset(UTF_8).decode(self.body)
        label = media.charset or find_inner_charset(self.body, media)
        try:
            return decode_text(self.body, label or UTF_8)
        except UnknownCharset as unknown:
            try:
                return decode_text(self.body)
            except Undecodable:
                raise unknown from None


def merge_headers(headers: Sequence[Header], encoding: str = "utf-8") -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return `headers` and `repeated` of a response, decoded as UTF-8, or as Latin-1 if one of them is not UTF-8."""
    merged: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        try:
            name, value = raw_name.decode(encoding), raw_value.decode(encoding)
        except UnicodeDecodeError:
            return merge_headers(headers, "iso-8859-1")
        if name in merged:
            repeated.setdefault(name, [merged[name]]).append(value)
        elif name == "set-cookie":
            repeated[name] = [value]
        merged[name] = value
    for name, values_of_name in repeated.items():
        merged[name] = ", ".join(values_of_name)
    return merged, repeated
