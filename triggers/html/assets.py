"""The style sheet, the scripts and the icons of the pages, served under an address that changes with their content."""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"

PREFIX = "/static"

FOR_EVER = "public, max-age=31536000, immutable"
"""The address contains a hash of the content, so that a copy never becomes stale."""

FOR_FRONT_ENDS = ("client.js", "client.d.ts")
"""Files that pages of other origins load, under an address that does not change: `/static/client.js`."""

ANY_ORIGIN = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}

_SENT_AS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".ts": "text/plain"}
"""Media types that must not depend on the machine's table: browsers refuse modules with another one."""


class Assets:
    """The files of a folder, read once. `build` names their content: pages that were made by another build load other
    scripts."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        hashed = hashlib.sha256()
        for name, data in self._files.items():
            hashed.update(b"%b\0%d\0%b" % (name.encode(), len(data), data))
        self.build = hashed.hexdigest()[:12]

    def make_url(self, name: str) -> str:
        """The address of a file; raises `KeyError` for a name that the folder does not have."""
        if name not in self._files:
            raise KeyError(name)
        return f"{PREFIX}/{self.build}/{name}"

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/{{build}}/{{name}}", self._answer, methods=["GET"]),
            *(Route(f"{PREFIX}/{name}", self._answer_front_end, methods=["GET"]) for name in FOR_FRONT_ENDS),
        ]

    def _answer_front_end(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        etag = f'"{self.build}"'
        headers = {**_make_headers(name, is_this_build=False), **ANY_ORIGIN, "ETag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(self._files[name], headers=headers)

    def _answer(self, request: Request) -> Response:
        data = self._files.get(request.path_params["name"])
        if data is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        is_this_build = request.path_params["build"] == self.build
        return Response(data, headers=_make_headers(request.path_params["name"], is_this_build=is_this_build))


def _make_headers(name: str, *, is_this_build: bool) -> Mapping[str, str]:
    kind = _SENT_AS.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return {
        "Content-Type": f"{kind}{charset}",
        "Cache-Control": FOR_EVER if is_this_build else "no-cache",
        "X-Content-Type-Options": "nosniff",
    }


ASSETS = Assets()
"""Those of this installation."""
