"""The tables of presets in `docs/webhooks.md`: `python -m tests.triggers.page` regenerates them."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.docs.markdown import code, one_line, table
from triggers.webhooks.presets import load_presets
from triggers.webhooks.scheme import Digest, Handshake, Ref, Scheme, Signed, Token

PAGE = Path(__file__).parent.parent.parent / "docs" / "webhooks.md"
MARKED = re.compile(r"(?<=<!-- generated: )(\w+) -->\n.*?\n(?=<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The page with each table between `<!-- generated: NAME -->` and `<!-- end -->` generated from the presets."""
    made = tables()
    return MARKED.sub(lambda found: f"{found[1]} -->\n\n{made[found[1]]}\n\n", page)


def tables() -> dict[str, str]:
    """The tables by name, and the number of presets as a heading."""
    known = sorted(load_presets().items())
    return {
        "presets": f"## The {len(known)} presets\n\n"
        + table(("preset", "sender"), [(code(name), one_line(each.about)) for name, each in known]),
        "signatures": table(
            ("preset", "proof", "signed", "time"), [(code(name), *_proof(each)) for name, each in known]
        ),
        "ids": table(
            ("preset", "id", "kind", "second key", "reply"), [(code(name), *_identity(each)) for name, each in known]
        ),
        "handshakes": _handshakes((name, each.handshake) for name, each in known if each.handshake),
    }


def _proof(each: Scheme) -> tuple[str, str, str]:
    match each:
        case Token(carrier="header"):
            return f"the secret in {code(each.header)}", "", ""
        case Token():
            return f"{each.carrier} credentials in {code(each.header)}", "", ""
        case Signed():
            how = "Ed25519" if each.kind == "ed25519" else f"HMAC-{each.alg.upper()}"
            time = f"{_place(each.ts.ref)}, {each.ts.tolerance:g} s" if each.ts else ""
            return f"{how}, {each.sig.encoding}, {code(each.sig.header)}", " ".join(map(_place, each.signed)), time


def _identity(each: Scheme) -> tuple[str, str, str, str]:
    second = {None: "", "body": "hash of the body", "message": "hash of what is signed"}[each.replay]
    reply = f"{each.reply.status}, empty" if each.reply else ""
    return _optional(each.dedupe), _optional(each.type), second, reply


def _handshakes(found: Iterable[tuple[str, Handshake]]) -> str:
    return table(
        ("preset", "request", "verified by", "answer"), [(code(name), *_handshake(each)) for name, each in found]
    )


def _handshake(each: Handshake) -> tuple[str, str, str]:
    marks = " and ".join(f"{_place(ref)} is {code(text)}" for ref, text in each.when.items())
    reply = each.reply
    if reply.text:
        answer = _place(reply.text)
    elif reply.fields:
        answer = "JSON: " + ", ".join(f"{code(name)} {_part(part)}" for name, part in reply.fields.items())
    else:
        answer = f"{reply.status}, empty"
    proof = f"`verify_token` in {_place(each.token)}" if each.token else "its signature"
    return f"{each.method}, {marks}", proof, answer


def _part(part: Ref | Digest) -> str:
    if isinstance(part, Digest):
        return f"HMAC-SHA256 of {_place(part.hmac)} in hex"
    return _place(part)


def _optional(ref: Ref | None) -> str:
    return _place(ref) if ref else ""


def _place(ref: Ref) -> str:
    if ref.place == "const":
        return f"`'{ref.name}'`"
    return code(f"{ref.place}:{ref.name}" if ref.name else ref.place)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
