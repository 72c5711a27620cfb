"""The headers of pages: what a browser may load and run for them, and who may read them."""

from collections.abc import Mapping

from starlette.responses import HTMLResponse

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The Content-Security-Policy of all pages: no inline script or style, and nothing of other servers."""

PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def respond_page(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """Answer with a page; `headers` are added, or replace those of all pages."""
    return HTMLResponse(text, status, headers={**PAGE_HEADERS, **(headers or {})})
