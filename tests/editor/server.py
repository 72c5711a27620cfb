"""A client of yaml-language-server, the program behind VS Code's YAML extension: JSON-RPC over its stdin and stdout."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SERVER = Path("node_modules", "yaml-language-server", "bin", "yaml-language-server")
SECONDS = 60
"""How long an answer may take on a busy machine."""

SETTINGS = {"yaml": {"schemaStore": {"enable": False}, "validate": True, "hover": True, "completion": True}}
"""What an editor's user would have set. The public store of schemas stays out: tests reach no network."""


class Editor:
    """A folder opened in an editor, whose files the server knows."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        assert process.stdin
        assert process.stdout
        self._to, self._from = process.stdin, process.stdout
        self._folder = folder
        self._count = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._problems: dict[str, asyncio.Future[list[dict[str, Any]]]] = {}

    async def start(self) -> None:
        capabilities = {"workspace": {"configuration": True}}
        await self._ask("initialize", processId=None, rootUri=self._folder.as_uri(), capabilities=capabilities)
        self._tell("initialized")

    async def problems(self, text: str) -> list[str]:
        """The problems of a pipeline file with this text: `line: message`, lines counted from 1."""
        uri = self._open(text)
        async with asyncio.timeout(SECONDS):
            found = await self._problems[uri]
        return [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in found]

    async def proposals(self, text: str) -> dict[str, str]:
        """The completions at the `|` in the text: labels with their descriptions."""
        found = await self._at("textDocument/completion", text)
        return {each["label"]: _text(each.get("documentation")) for each in found["items"]}

    async def hover(self, text: str) -> str:
        """The hover text of the word after the `|` in the text."""
        found = await self._at("textDocument/hover", text)
        return _text(found["contents"]) if found else ""

    async def _at(self, method: str, text: str) -> Any:
        before, after = text.split("|")
        uri = self._open(before + after)
        lines = before.split("\n")
        position = {"line": len(lines) - 1, "character": len(lines[-1])}
        return await self._ask(method, textDocument={"uri": uri}, position=position)

    def _open(self, text: str) -> str:
        uri = (self._folder / "config" / "pipelines" / f"sample{next(self._count)}.yaml").as_uri()
        self._problems[uri] = asyncio.get_running_loop().create_future()
        self._tell("textDocument/didOpen", textDocument={"uri": uri, "languageId": "yaml", "version": 1, "text": text})
        return uri

    # -- JSON-RPC

    async def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._count)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(SECONDS):
            return await answer

    def _tell(self, method: str, **parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def listen(self) -> None:
        """Read the server's messages until its output ends."""
        while head := await self._from.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self._take(json.loads(await self._from.readexactly(length)))

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "textDocument/publishDiagnostics", "params": {"uri": uri, "diagnostics": found}}:
                if not self._problems[uri].done():
                    self._problems[uri].set_result(found)
            case {"method": "workspace/configuration", "id": number, "params": {"items": items}}:
                self._send({"id": number, "result": [SETTINGS.get(item["section"], {}) for item in items]})
            case {"method": _, "id": number}:
                self._send({"id": number, "result": None})
            case {"id": number, "error": error}:
                self._answers.pop(number).set_exception(RuntimeError(error["message"]))
            case {"id": number, "result": result}:
                self._answers.pop(number).set_result(result)


@asynccontextmanager
async def editor(packages: Path, folder: Path) -> AsyncIterator[Editor]:
    """An editor with the folder open, and the language server from the packages running."""
    process = await asyncio.create_subprocess_exec(
        "node", str(packages / SERVER), "--stdio", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    opened = Editor(process, folder)
    listening = asyncio.create_task(opened.listen())
    try:
        await opened.start()
        yield opened
    finally:
        listening.cancel()
        process.kill()
        await process.wait()


def _text(content: Any) -> str:
    return content["value"] if isinstance(content, dict) else content or ""
