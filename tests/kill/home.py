"""The folders of one kill loop, and the pipelines that it runs."""

import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.plugins import install

REPEATABLE = """
id: repeatable
description: Three effects, each of which may be repeated under its key

triggers:
  - id: sent
    use: webhook
    with:
      path: /repeatable
      verify: {preset: standard-webhooks, secret: "{{ secrets.SENDER }}"}
      dedupe: {key: "{{ trigger.headers['webhook-id'] }}"}
    inputs: {event: "{{ trigger.id }}", amount: "{{ trigger.body.amount }}", note: "{{ trigger.body.note }}"}

defaults:
  timeout: 30s
  retry: {max_attempts: 8, min_delay: 20ms, max_delay: 200ms}

steps:
  - id: first
    use: http.post
    with:
      url: "LEDGER/effects/{{ inputs.event }}/first"
      json: {amount: "{{ inputs.amount }}", note: "{{ inputs.note }}"}
    keep: {receipt: "{{ output.body.receipt }}"}

  - id: second
    use: http.post
    with:
      url: "LEDGER/effects/{{ inputs.event }}/second"
      json: {run: "{{ run.id }}", after: "{{ steps.first.output.receipt }}"}
    keep: {receipt: "{{ output.body.receipt }}"}

  - id: third
    use: http.post
    with:
      url: "LEDGER/effects/{{ inputs.event }}/third"
      json: {after: "{{ steps.second.output.receipt }}", note: "{{ inputs.note }}"}
    keep: {receipt: "{{ output.body.receipt }}"}

outputs:
  first: "{{ steps.first.output.receipt }}"
  second: "{{ steps.second.output.receipt }}"
  third: "{{ steps.third.output.receipt }}"
"""

PARKED = """
id: parked
description: Three effects, of which the middle one may not be repeated unknowingly

triggers:
  - id: sent
    use: webhook
    with:
      path: /parked
      verify: {preset: standard-webhooks, secret: "{{ secrets.SENDER }}"}
    inputs: {event: "{{ trigger.id }}", amount: "{{ trigger.body.amount }}"}

defaults:
  timeout: 30s
  retry: {max_attempts: 8, min_delay: 20ms, max_delay: 200ms}

steps:
  - id: before
    use: http.post
    with: {url: "LEDGER/effects/{{ inputs.event }}/before", json: {amount: "{{ inputs.amount }}"}}
    keep: {receipt: "{{ output.body.receipt }}"}

  - id: middle
    use: http.post
    on_crash: park
    with:
      url: "LEDGER/effects/{{ inputs.event }}/middle"
      json: {run: "{{ run.id }}", after: "{{ steps.before.output.receipt }}"}
    keep: {receipt: "{{ output.body.receipt }}"}

  - id: last
    use: http.post
    with: {url: "LEDGER/effects/{{ inputs.event }}/last", json: {after: "{{ steps.middle.output.receipt }}"}}
    keep: {receipt: "{{ output.body.receipt }}"}

outputs:
  before: "{{ steps.before.output.receipt }}"
  middle: "{{ steps.middle.output.receipt }}"
  last: "{{ steps.last.output.receipt }}"
"""

SEQUENCES = {"repeatable": REPEATABLE, "parked": PARKED}
STEPS = {"repeatable": ("first", "second", "third"), "parked": ("before", "middle", "last")}
MAY_NOT_REPEAT = "middle"


def _new_secret() -> bytes:
    return secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one kill loop: config, data, logs and the ledger's file."""

    folder: Path
    sender_secret: bytes = field(default_factory=_new_secret, repr=False)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    def write_pipelines(self, ledger: str, pipelines: Mapping[str, str] = SEQUENCES) -> None:
        """Write the config folder; effects are sent to the ledger at this URL."""
        folder = self.config / "pipelines"
        folder.mkdir(parents=True)
        for name, text in pipelines.items():
            (folder / f"{name}.yaml").write_text(text.replace("LEDGER", ledger))
        install(self.folder / "site", "kill-pager", {"pager": "tests.kill.pager:CONNECTOR"}, {})

    def environment(self) -> dict[str, str]:
        """The settings of the service. The recovery limit is disabled, because the runs do not cause the crashes."""
        return {
            "WAYPOST_EGRESS_ALLOW": "127.0.0.0/8",
            "WAYPOST_SECRET_SENDER": f"whsec_{b64encode(self.sender_secret).decode()}",
            "WAYPOST_RECOVERY_LIMIT": "1000",
            "WAYPOST_ADDRESS_RATE": "none",
            "PYTHONPATH": str(self.folder / "site"),
        }
