"""`waypost retry`: a failed run goes on, and a refusal says what to do instead."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.cli.command import serving, waypost
from tests.cli.conftest import write


@contextmanager
def _answering(*statuses: int) -> Iterator[str]:
    """A server that answers with these statuses in turn."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_failed_run_is_retried_until_it_completes(place: Path) -> None:
    with _answering(404, 404, 200) as url:
        write(place, "ask", f"steps:\n  - {{id: ask, use: http.get, with: {{url: {url}}}}}\noutputs: {{n: 7}}\n")
        with serving(place):
            failed = waypost("run", "ask", "--json", cwd=place)
            run = json.loads(failed.stdout)["id"]
            again = waypost("retry", "latest", "--follow", cwd=place)
            assert (again.returncode, f"{run} failed: ask: client" in again.stderr) == (1, True), again.stderr
            done = waypost("retry", run[:-6], "--follow", "--reason", "mended", "--json", cwd=place)
            assert (done.returncode, json.loads(done.stdout)["outputs"]) == (0, {"n": 7}), done.stderr
            refused = waypost("retry", run, cwd=place)
            assert (refused.returncode, f"waypost rerun {run}" in refused.stderr) == (1, True)
            history = waypost("history", run, "--json", cwd=place)
            retries = [each for each in json.loads(history.stdout) if each["type"] == "run_retried"]
            assert [(each["by"], each.get("reason")) for each in retries] == [("admin", None), ("admin", "mended")]
            shown = waypost("show", run, cwd=place).stdout
            assert "2 times, last" in shown
            assert ", by admin, mended" in shown
