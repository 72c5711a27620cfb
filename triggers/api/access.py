"""Access to the API: what the key of a request may do."""

from starlette.requests import HTTPConnection, Request

from triggers.api.problem import ApiError
from triggers.documents.fields import KeyGrant, Scope
from triggers.http.rate_limit import RateLimiter
from triggers.keys import KeyHolder, Keys, parse_bearer
from triggers.realtime.permit import StreamPermit
from triggers.realtime.realtime import Realtime
from triggers.refusals import RateExceeded, TokenRefused


class Access:
    """Finds out who sends a request. Wrong keys are limited for each address; a right key is never limited."""

    def __init__(self, keys: Keys, guesses: RateLimiter, realtime: Realtime) -> None:
        self._keys = keys
        self._guesses = guesses
        self._realtime = realtime

    def identify(self, request: Request) -> KeyHolder:
        """The holder of the key that a request brings; raises `ApiError` or `RateExceeded`."""
        key = parse_bearer(request.headers.get("authorization"))
        if key is None:
            raise _make_unknown("send the API key as `Authorization: Bearer KEY`")
        holder = self._keys.find_holder(key)
        if holder is None:
            self._count_guess(request)
            raise _make_unknown("this API key is not known, or was revoked")
        return holder

    def check_stream(self, request: HTTPConnection) -> StreamPermit:
        """What the sender of a request may follow: by a token in the query, or by a token or key in the header
        Authorization. Raises `ApiError`, `RateExceeded` and `TokenRefused`."""
        token = request.query_params.get("token")
        presented = token or parse_bearer(request.headers.get("authorization"))
        if presented is None:
            raise _make_unknown("send a token of POST /api/tokens, or the API key, as `Authorization: Bearer TOKEN`")
        try:
            return self._realtime.tokens.verify(token) if token else self._realtime.identify(presented)
        except TokenRefused:
            self._count_guess(request)
            raise

    def _count_guess(self, request: HTTPConnection) -> None:
        if seconds := self._guesses.take_for(request.scope):
            raise RateExceeded("too many wrong keys came from this address", seconds, closes=False)


def ensure_permitted(holder: KeyHolder, wanted: Scope, grant: KeyGrant | None) -> None:
    """Raise `ApiError` unless a key has the scope, or the grant that suffices in its place."""
    if not holder.may(wanted, grant):
        other = f" or the grant `{grant}`" if grant else ""
        headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{wanted}"'}
        raise ApiError(
            403, f"this takes a key with the scope `{wanted}`{other}; this one has `{holder.rights}`", headers
        )


def _make_unknown(detail: str) -> ApiError:
    where = "it stands in WAYPOST_API_KEY or in the file api.key of the data folder, or `waypost keys create` makes one"
    return ApiError(401, f"{detail}; {where}", {"WWW-Authenticate": "Bearer"})
