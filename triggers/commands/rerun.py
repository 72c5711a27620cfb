"""`waypost rerun`: run the event of a run anew, on the newest version, or those of every run that matches."""

from triggers.commands.ask import ask_service_about
from triggers.commands.follow_repeat import Follow, follow_repeat
from triggers.commands.many import act_on_many
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, Reason, RunId
from triggers.documents.starts import RepeatedDocument


@act_on_many("rerun")
def rerun(
    run: RunId,
    reason: Reason = None,
    is_followed: Follow = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    ask_service_about(
        config,
        data,
        run,
        lambda service, run: follow_repeat(
            service,
            lambda: service.rerun_run(run, reason),
            _describe_rerun,
            is_followed=is_followed,
            as_json=as_json,
        ),
    )


def _describe_rerun(repeated: RepeatedDocument) -> str:
    inputs = "inputs computed again" if repeated.inputs == "mapped" else "the recorded inputs"
    return f"version {repeated.version[:12]}, {inputs}"
