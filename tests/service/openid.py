"""The npm package `oidc-provider` as a service, and a person with a browser who logs in there."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.npm import require_package

SCRIPT = Path(__file__).parent.parent / "standins" / "oidc_provider.mjs"
SETTINGS = {"client_id": "waypost", "client_secret": "canary-client-secret-of-32-letters", "scopes": ["openid"]}


@dataclass
class OpenIdProvider:
    """A running provider."""

    url: str

    @property
    def settings(self) -> dict[str, Any]:
        return {**SETTINGS, "issuer": self.url}

    async def count(self, grant_type: str) -> tuple[int, int]:
        """Return how many requests for tokens of this type succeeded and failed."""
        async with make_browser() as browser:
            counts = (await browser.get(f"{self.url}/counts")).json()
        return counts.get(f"{grant_type} succeeded", 0), counts.get(f"{grant_type} failed", 0)


@asynccontextmanager
async def serve_openid(redirect_url: str) -> AsyncIterator[OpenIdProvider]:
    """Serve the provider with one client, which has this redirect URL. Skips the test where the package is missing."""
    entry = require_package("oidc-provider") / "node_modules" / "oidc-provider" / "lib" / "index.js"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", SCRIPT, entry, redirect_url, stdout=pipe, stderr=pipe)
    assert process.stdout
    try:
        line = (await process.stdout.readline()).decode().strip()
        if not line:
            raise AssertionError((await process.communicate())[1].decode())
        yield OpenIdProvider(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def make_browser() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, verify=False, timeout=30)


async def consent(url: str, *, is_denied: bool = False, callback: str = "/oauth/callback") -> str:
    """Log in at the provider and permit the access, or deny it; returns the address that the browser is sent to."""
    async with make_browser() as browser:
        answer = await browser.get(url)
        while True:
            while answer.is_redirect:
                place = urljoin(str(answer.url), answer.headers["location"])
                if callback in place:
                    return place
                answer = await browser.get(place)
            assert answer.status_code == 200, answer.text
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            assert form, answer.text
            prompt = "login" if 'value="login"' in answer.text else "consent"
            if is_denied and prompt == "consent":
                answer = await browser.get(form[1] + "/abort")
            else:
                fields = {"prompt": prompt} | ({"login": "ada", "password": "x"} if prompt == "login" else {})
                answer = await browser.post(form[1], data=fields)
