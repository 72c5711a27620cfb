"""A run that cannot go on with new code is paused with the reason, and can be forked to the newest version."""

from pathlib import Path

import pytest

from durable.action import Connector, Context, Inputs, action
from tests.service.gates import Gates, begin, copy_after_crash, until_status

pytestmark = pytest.mark.anyio

OLD = """
steps:
  - {id: one, use: gate.pass, with: {what: one}}
  - {id: mid, use: gate.pass, with: {what: mid, value: "{{ steps.one.output.value }}"}}
outputs: {a: "{{ steps.mid.output.value }}"}
"""
NEW = OLD.replace('with: {what: mid, value: "{{ steps.one.output.value }}"}', "with: {what: mid, value: new, who: me}")


class PassingStrictly(Inputs):
    what: str
    value: str | None = None
    who: str


class StrictGates(Gates):
    """The next version of the connector: it has an input more, which is required where `what` is `mid`."""

    def __init__(self) -> None:
        super().__init__()
        use = action("pass", input=PassingStrictly)(self._perform)
        self.connector = Connector("gate", "The next version.", (use,))


class NoGates(Gates):
    """The connector without its action."""

    def __init__(self) -> None:
        super().__init__()
        self.connector = Connector(
            "gate", "It can do something else now.", (action("other", input=Inputs)(self.refuse),)
        )

    async def refuse(self, context: Context, input: Inputs, /) -> None:
        """Do something else."""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (StrictGates, "step mid cannot continue with its recorded input: input of gate.pass: who: "),
        (NoGates, "step mid cannot continue with its recorded input: no connector offers gate.pass any more"),
    ],
)
async def test_a_run_that_new_code_stops_is_paused_and_forked_to_the_newest_version(
    tmp_path: Path, changed: type[Gates], reason: str
) -> None:
    old = Gates()
    old.close("mid")
    async with old.serving(tmp_path, {"p": OLD}) as service:
        run = await begin(service, "p")
        await old.wait_until_reached("mid")
        place = copy_after_crash(tmp_path)
    async with changed().serving(place, {}) as service:
        paused = await until_status(service, run, "paused")
        assert reason in paused["reason"]
        assert paused["error"] is None
        [wait] = (await service.client.get(f"/api/waits?run={run}")).json()["waits"]
        assert (wait["kind"], reason in wait["reason"]) == ("resume", True)
        again = await service.client.post(f"/api/runs/{run}/resume")
        assert again.status_code == 202
        assert reason in (await until_status(service, run, "paused"))["reason"]
        place = copy_after_crash(place)
    new = StrictGates()
    newest = NEW.replace("{what: one}", "{what: one, who: me}")
    async with new.serving(place, {"p": newest}) as service:
        forked = await service.client.post(f"/api/runs/{run}/fork", json={"step": "mid", "newest": True})
        assert forked.status_code == 202, forked.text
        ended = await service.wait_for_end(forked.json()["id"])
        assert (ended["status"], ended["outputs"]) == ("completed", {"a": "new"})
    assert new.passed == ["mid"], "the step before it has its checkpoint"


async def test_a_run_that_new_code_stops_goes_on_when_the_old_code_is_back(tmp_path: Path) -> None:
    old = Gates()
    old.close("mid")
    async with old.serving(tmp_path, {"p": OLD}) as service:
        run = await begin(service, "p")
        await old.wait_until_reached("mid")
        place = copy_after_crash(tmp_path)
    async with NoGates().serving(place, {}) as service:
        await until_status(service, run, "paused")
        place = copy_after_crash(place)
    back = Gates()
    async with back.serving(place, {"p": OLD}) as service:
        assert (await service.run(run))["status"] == "paused"
        await service.client.post(f"/api/runs/{run}/resume")
        ended = await until_status(service, run, "completed")
        assert ended["outputs"] == {"a": None}
    assert back.keys["mid"] == old.keys["mid"]
