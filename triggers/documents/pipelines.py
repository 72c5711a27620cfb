"""The files of pipelines that a service serves."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Struct

from durable.history.words import RunStatus, StepStatus
from triggers.documents.deliveries import DeliveryDocument
from triggers.documents.fields import Time, note
from triggers.documents.schedules import ScheduleDocument

PipelineStatus: TypeAlias = Literal["serving", "serving the version before", "disabled"]


class SampledRunDocument(Struct, frozen=True):
    """A run of a sample."""

    id: str
    status: RunStatus
    created_at: Time | None
    finished_at: Time | None


class FailingStepDocument(Struct, frozen=True):
    """A step in which runs of a sample failed."""

    step: Annotated[str, note("Its path, without the numbers of items")]
    runs: Annotated[int, note("How many runs failed in it")]


class PipelineStatisticsDocument(Struct, frozen=True):
    """How the runs of a pipeline went: a sample of its newest ones."""

    newest: Annotated[list[SampledRunDocument], note("Its newest runs, twenty at most")]
    days: Annotated[int, note("The days of which runs are sampled")]
    sampled: Annotated[int, note("The runs of the sample")]
    is_partial: Annotated[bool, note("Whether it had more runs in that time than are sampled")]
    completed: int
    failed: int
    unfinished: int
    success: Annotated[float | None, note("The share of completed runs, of those that completed or failed")]
    median_ms: Annotated[int | None, note("Half of the completed runs took less, from their start to their end")]
    p95_ms: Annotated[int | None, note("95 of 100 completed runs took less")]
    failing: Annotated[list[FailingStepDocument], note("The steps in which most runs failed, three at most")]


class PipelineLineDocument(Struct, frozen=True):
    """A pipeline's file."""

    id: str
    file: str
    status: PipelineStatus
    version: Annotated[str | None, note("The hash of its meaning; null if nothing is served")]
    webhooks: Annotated[list[str], note("The paths of its webhooks")]
    schedules: Annotated[list[str], note("When its schedules fire")]
    events: Annotated[list[str], note("The types of the events that start it")]
    alerts: Annotated[list[str], note("What it is alerted of")]
    problems: Annotated[list[str], note("What is wrong with the file, each with its place")]


class PipelineDocument(PipelineLineDocument, frozen=True):
    """A pipeline's file, and what a run of it is given."""

    inputs: Annotated[dict[str, Any] | None, note("The JSON Schema of each input; null if anything is taken")]


class PipelinesDocument(Struct, frozen=True):
    """Every pipeline's file."""

    pipelines: list[PipelineLineDocument]
    statistics: Annotated[
        dict[str, PipelineStatisticsDocument] | None,
        note("How the runs of each went, by its id; null unless the request asks for it"),
    ]


# -- the file -----------------------------------------------------------------------------------------------------


class ProblemDocument(Struct, frozen=True):
    """A problem of a file, as `waypost validate` reports it."""

    line: Annotated[int, note("Counted from 1")]
    column: Annotated[int, note("Counted from 1")]
    severity: Literal["error", "warning"]
    message: str
    hint: Annotated[str | None, note("What to do about it")]
    source: Annotated[str | None, note("The line, and below it a caret at the column")]


class PipelineTextDocument(Struct, frozen=True):
    """The text of a pipeline's file as it is now, which need not be what is served."""

    id: str
    file: str
    status: PipelineStatus
    version: Annotated[str | None, note("The version that is served; null if nothing is")]
    text: Annotated[str, note("The file; values of secrets, and passwords in URLs, are hidden")]
    problems: list[ProblemDocument]


# -- its runs -----------------------------------------------------------------------------------------------------


class GridStepDocument(Struct, frozen=True):
    """A step of the first level, over several runs."""

    id: str
    use: Annotated[str | None, note("Null for a step that only earlier versions have")]
    failed: Annotated[int, note("The runs in which it failed")]
    median_ms: Annotated[int | None, note("Half of the times in which it completed were shorter")]
    is_served: Annotated[bool, note("Whether the version that is served has it")]


class GridRunDocument(Struct, frozen=True):
    """A run, and how its steps ended."""

    id: str
    status: RunStatus
    created_at: Time | None
    finished_at: Time | None
    cells: Annotated[list[StepStatus | None], note("In the order of the steps; null for one that was not reached")]
    is_read: Annotated[bool, note("False if its history is too long to be read now: only its failed step is known")]


class GridDocument(Struct, frozen=True):
    """The newest runs of a pipeline, and how the steps of its first level ended in them."""

    steps: list[GridStepDocument]
    runs: Annotated[list[GridRunDocument], note("The newest first")]
    unread: Annotated[int, note("The runs whose histories were not read")]


class GivenInputsDocument(Struct, frozen=True):
    """The inputs with which a run was started over the API."""

    run: Annotated[str, note("The newest run that was given them")]
    created_at: Time | None
    inputs: dict[str, Any]


class RecentInputsDocument(Struct, frozen=True):
    """Inputs of runs that were started over the API, the newest first, none of them twice."""

    recent: list[GivenInputsDocument]


# -- its triggers -------------------------------------------------------------------------------------------------


class SecretStateDocument(Struct, frozen=True):
    """A secret that a trigger uses."""

    name: str
    is_set: bool


class WebhookDocument(Struct, frozen=True):
    """A webhook: its address, how its senders are verified, and the last request."""

    url: str
    methods: list[str]
    verification: Annotated[str | None, note("The preset, or the kind of scheme; null if every request is accepted")]
    secrets: list[SecretStateDocument]
    last: Annotated[DeliveryDocument | None, note("The last request")]


class TriggerDocument(Struct, frozen=True):
    """A trigger of a pipeline."""

    id: str
    name: Annotated[str, note("PIPELINE/TRIGGER")]
    kind: str
    reacts_to: Annotated[str, note("Its path, its times, or its type of events")]
    when: Annotated[str | None, note("The expression that decides whether it starts a run")]
    webhook: WebhookDocument | None
    schedule: ScheduleDocument | None


class TriggersDocument(Struct, frozen=True):
    """The triggers of a pipeline."""

    triggers: list[TriggerDocument]
    start: Annotated[
        str | None,
        note("A command that starts a run over the API, with the key in WAYPOST_API_KEY; null if nothing is served"),
    ]


class ExampleRequestDocument(Struct, frozen=True):
    """A request that a webhook takes, signed as its sender signs it."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    curl: Annotated[str, note("The request as a command")]
    valid_for: Annotated[float | None, note("The seconds for which its signature is valid; null if it does not age")]
    duplicates: Annotated[str, note("What happens if it is sent again")]


class FirstExampleDocument(ExampleRequestDocument, frozen=True):
    """A request that the first webhook takes for which one can be made."""

    pipeline: str
    trigger: str
    file: Annotated[str, note("The file of the pipeline, in the folder `pipelines` of the config folder")]


class SentExampleDocument(Struct, frozen=True):
    """What the webhook answered to a request that the service has sent to itself."""

    status: Annotated[int, note("The status of the answer")]
    body: Annotated[str, note("The answer, up to 1,000 characters")]
