"""The page about webhooks, with every preset as it is: `python -m tests.triggers.page` writes `docs/webhooks.md`."""

from collections.abc import Iterable
from pathlib import Path

from tests.docs.markdown import code, listing, one_line, table
from triggers.limits import MOST_NAMES
from triggers.settings import Settings
from triggers.webhooks.handshake import WORD
from triggers.webhooks.presets import presets
from triggers.webhooks.scheme import Digest, Handshake, Ref, Scheme, Signed, Token

PAGE = Path(__file__).parent.parent.parent / "docs" / "webhooks.md"

BEGINNING = """\
# Webhooks

A webhook takes what a provider sends, makes sure that it comes from there, and starts runs. This page says whom it
believes and what it answers. The keys of the trigger stand in [reference.md](reference.md), an introduction in
[pipelines.md](pipelines.md). The tables of presets are written from `triggers/webhooks/presets.yaml` by
`python -m tests.triggers.page`; a test holds the page to them.

```yaml
triggers:
  - id: shop
    use: webhook
    with:
      path: /shop                     # POST /hooks/shop
      verify: {preset: shopify, secret: "{{ secrets.SHOP }}"}
```

`dedupe` determines which deliveries are duplicates: two deliveries with the same `key` within the time `for` (default:
7 days). Without a `key`, the preset's own id is the key. A delivery without any key starts a run each time it is sent.

`secret` is a reference to a secret, or a list of them while one is rotated: a request is believed if any of them fits.
A secret that is written out, or that a sender could choose, is refused when the file is loaded. Without its value the
webhook believes nobody.
"""

ORDER = """\
## What happens to a request

1. The address that it comes from is held to `address_rate`; over it the answer is 429, and the body is not read.
2. The body is read, within `max_body_bytes` and `body_timeout`, whatever length was declared. A compressed one is not.
3. The signature is checked over the bytes as they came, in a time that does not depend on where it is wrong, and the
   sender's time against the clock, in both directions. Nothing is parsed before.
4. A handshake is answered and recorded as a delivery (`filtered`, reason `handshake`). It starts nothing.
5. What is genuine is held to `webhook_rate`. What is not does not count, so that a stranger cannot use it up.
6. `when` decides, and the inputs are made.
7. Event, delivery, keys and runs are committed together, and then it is answered. A repeat, known by its id, gets the
   ids of the first delivery. Where senders sign neither an id nor a time, a captured request could be sent again under
   another id; there the body's hash is a second key. Where they sign a time and have no id, the second key is the hash
   of all that is signed.

| answer | when |
| --- | --- |
| 202 `{"event": "…", "runs": ["…"]}` | accepted; both are on disk |
| 200 with `"duplicate": true` | a repeat, with the ids of the first delivery |
| 200 with `"runs": []` and `reason` | `when` did not hold |
| 400 | the request cannot be read: its framing, its JSON, its charset, a signature's header that came twice |
| 401 | the signature does not fit, or there is no such webhook: nobody learns which |
| 408, 413, 415, 431 | too slow, too large, compressed or in an unknown charset, too long a head |
| 429 with `Retry-After` | more than the rate allows |
| 503 with `Retry-After` | it cannot be made durable now; nothing was accepted |
| 503 instead of 401 | a file is broken and nothing of it is served, so that the webhook may be one of its own |

A genuine request that cannot be read is also recorded as a delivery: `rejected`, with the reason that its sender gets.
A request for a path that no pipeline serves is not recorded. The metric `waypost_deliveries_total{outcome="unknown"}`
counts it, and once a minute for each first segment the log has a line with the webhook that was probably meant.

Where a preset has a reply of its own it replaces the first three, with an empty body, and the ids stand in the headers
`Waypost-Event` and `Waypost-Runs`.
"""

REQUEST = """\
## How a request is read

**The path** is compared as it was sent, segment by segment. `{name}` matches one segment, which is decoded afterwards:
`a%2Fb` is one segment with the value `a/b`. `/%6Fne` and `/one` are the same path; `/one/`, `//one`, `/./one` and
`/one%0A` are different paths. A segment `.` or `..` never matches. A `path` is relative to `/hooks`: `path: /hooks/x`
is served at `/hooks/hooks/x`, and `waypost validate` warns about it.

**Query, headers and forms**: a name that occurs once has a text as its value, and a name that occurs several times
has a list of texts. For `?id=1&id=2`, `trigger.query.id` is `["1", "2"]`.

**The body** is read according to its `Content-Type`:

| `Content-Type` | `trigger.body` |
| --- | --- |
| `application/json`, `text/json`, `application/x-json`, `application/csp-report`, `+json`, `.json` | the JSON value |
| `application/x-www-form-urlencoded` | a mapping; a body that is JSON and begins with `{` or `[` is read as JSON |
| `text/…`, XML, YAML, NDJSON and similar types | a text; the filter `fromjson` reads JSON in a text |
| none | JSON if the body begins with `{` or `[`, otherwise a text |
| any other type, including `multipart/form-data` | `{base64, content_type}`; its fields are not separated |

If an object contains a key twice, the last value counts. Note that `curl -d` declares a form even if it sends JSON.

**The charset** is the first of these that is present: a byte order mark, the `charset` of `Content-Type`, the
`encoding` of an XML declaration, the `meta` element of HTML, a form field `_charset_` or `charset`, the trigger's
`charset`, and UTF-8. Waypost knows the labels of the [WHATWG Encoding Standard](https://encoding.spec.whatwg.org)
(`latin1` and `ascii` mean windows-1252), UTF-32, and the other charsets that Python supports. Of the standard's 228
labels, it does not decode `iso-2022-cn`, `iso-2022-cn-ext` and `replacement`. JSON that is valid UTF-8 is read as
UTF-8 even if it is declared as Latin-1. UTF-16 and UTF-32 without a byte order mark are recognized in JSON and XML.

A body that is not valid in its charset gets 400, with the position of the byte and what to change. An unknown label
gets
415. Invalid bytes are never replaced by `�`. Bytes in a path or query that are not ASCII are read as if they were
percent-encoded. If a sender declares no charset and does not send UTF-8, set the trigger's `charset`, for example
`charset: windows-1252`; it also applies to the path and the query. Signatures are checked over the original bytes.

**HEAD** gets 200 if a GET or POST to the same path would be accepted, and creates no delivery. Trello uses it to check
that a webhook exists. HEAD therefore reveals which paths are served, but not who may use them.

**Web pages of other origins** can call a webhook if its trigger lists the origin:

```yaml
    with:
      path: /newsletter
      verify: none
      cors: [https://shop.example]    # or "*", for the pages of all origins
```

The browser first sends an OPTIONS request. It may then use the trigger's `methods` with any headers, and the page can
read every answer of the webhook, including errors. Only browsers enforce `cors`, so it does not authenticate senders.
"""

ANSWERS = """\
## Answers

`respond` says when a sender is answered: `accepted`, at once, as above; `result`, when the run has ended, with its
status and its outputs or its error; or `step`, as soon as a step has said what.

```yaml
triggers:
  - id: price
    use: webhook
    with: {path: /price, verify: {preset: github, secret: "{{ secrets.HOOK }}"}, respond: step}
    inputs: {amount: "{{ trigger.body.amount }}"}
inputs: {amount: {type: number}}
steps:
  - id: told
    use: flow.respond
    with: {status: 201, headers: {Cache-Control: no-store}, body: {total: "{{ inputs.amount * 1.19 }}"}}
  - {id: note, use: log.write, with: {message: "The sender has its answer, and the run goes on"}}
```

A text is sent unchanged, anything else as JSON. If you set `Content-Type`, it replaces the default, and a text is
encoded in its `charset`. Header values must be one line of ASCII. A 204, 205 or 304 has no body. Headers that the
server sets itself (`Content-Length`, `Date`, `Set-Cookie`, …) are refused. The preset's own reply is not used. An
HTML page is sandboxed by a `Content-Security-Policy`, because it has the same origin as the API.

The answer goes out once its step is checkpointed; of several, the first counts. It outlives a crash: who sends the same
delivery again gets it. A run that ends without one answers as `result` does, with 500 unless it completed, and one that
goes on for longer than 25 s as `accepted` does.
"""

GENERIC = """

Beside them stand, for senders without a name, `hmac` (`header`, `algorithm`: sha1, sha256 or sha512, `encoding`: hex or
base64, `prefix`, `items`: what parts several signatures) and `token` (`header`); and `scheme`, for all that the
[reference](reference.md) can describe.
"""

RATES = """\
## Rates and addresses

Rates are a number and a duration: `{rate}` lets so many come at once, and as many again in that time.
"""

ADDRESSES = """\
Behind a proxy, every request comes from the proxy's address: set `address_rate = "none"` and let the proxy count.
An IPv6 sender is counted by its network of 2^64 addresses. At most {names:,} addresses are remembered.

`public_url` is where the world reaches this service. {url} sign it with the body: a file that
uses one of them is refused without it. What a request says of its own host is never believed.
"""


def written() -> str:
    """The page."""
    known = sorted(presets().items())
    url = listing((name for name, each in known if isinstance(each, Signed) and Ref("url") in each.signed), "and")
    blocks = [
        BEGINNING,
        ORDER,
        REQUEST,
        ANSWERS,
        RATES.format(rate=_rate()),
        ADDRESSES.format(names=MOST_NAMES, url=url),
        f"## The {len(known)} presets\n\n"
        + table(("preset", "who sends"), [(code(name), one_line(each.about)) for name, each in known])
        + GENERIC,
        "## How they sign\n\n"
        + table(("preset", "proof", "signed", "time"), [(code(name), *_proof(each)) for name, each in known])
        + "\n",
        "## What they tell, and how they are answered\n\n"
        + table(
            ("preset", "id", "kind", "second key", "reply"),
            [(code(name), *_identity(each)) for name, each in known],
        )
        + "\n",
        _handshakes((name, each.handshake) for name, each in known if each.handshake),
    ]
    return "\n".join(blocks)


def _rate() -> str:
    rate = Settings().webhook_rate
    return f"{rate.number}/{rate.period // 60_000}m" if rate else "none"


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
    rows = [(code(name), *_handshake(each)) for name, each in found]
    return (
        "## Handshakes\n\n"
        f"What an answer repeats of a request is a word: `{WORD.pattern}`. Anything else is answered with 400.\n\n"
        + table(("preset", "request", "verified by", "answer"), rows)
        + "\n"
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
    PAGE.write_text(written(), encoding="utf-8")
