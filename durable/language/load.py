"""From a pipeline's text to a checked pipeline, or to all that is wrong with it.

Pure: the text comes in, and whoever calls has read the file. No text and no bytes make it raise.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from durable.durations import parse_duration
from durable.expressions.headers import HEADERS
from durable.language import cures
from durable.language.admission import AdmissionCheck
from durable.language.catalogue import Catalogue
from durable.language.check import StepCheck, check_filled, check_ids
from durable.language.connections import Connections, Find
from durable.language.document import LIMITS, Document, Limits, Pointer
from durable.language.findings import Findings
from durable.language.fit import unfit
from durable.language.flows import FlowCheck, PipelineCall
from durable.language.names import OF_A_RUN, OF_A_TRIGGER, OF_ADMISSION, Scope
from durable.language.pipeline import Defaults, Pipeline, Step
from durable.language.problem import Problem, quoted
from durable.language.spots import spots
from durable.language.texts import Texts
from durable.language.tree import Mapped, every_step, listed, mapped
from durable.retry import RetryPolicy
from durable.spec_model import IDENTIFIER
from durable.values import JSON

__all__ = ["Catalogue", "Loaded", "load"]

RESPOND = "flow.respond"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a text amounts to: a pipeline if there is no error, and every problem in the order of the text. `calls` are
    its calls of other pipelines, which are there or not whatever this text says."""

    pipeline: Pipeline | None
    problems: tuple[Problem, ...]
    calls: tuple[PipelineCall, ...] = ()


def load(
    text: str | bytes,
    *,
    file: str,
    catalogue: Catalogue,
    secrets: Callable[[str], bool] | None = None,
    examine_secret: Callable[[str], Sequence[str]] | None = None,
    connections: Find | None = None,
    connection_names: Collection[str] = (),
    is_broken: Callable[[str], bool] = lambda connection: False,
    limits: Limits = LIMITS,
) -> Loaded:
    """Check a pipeline's text.

    `secrets` says whether a secret has a value, `examine_secret` what is wrong or doubtful about it; both are warnings.
    `connections` gives the connector that a connection is of, and None if there is no such connection, which is an
    error; `connection_names` are those to suggest, and `is_broken` says of which ones something is there that is wrong.
    What is not given is unknown and not checked.
    """
    document = Document.read(text, file, limits)
    findings = Findings(document, limits.problems)
    data = document.data
    if not document.is_whole:
        return Loaded(None, findings.problems())
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "the file is not a mapping"
        findings.add((), what, "a pipeline begins with 'steps:'; see the language's reference")
        return Loaded(None, findings.problems())
    data = _identified(data, findings)
    for each in unfit(Pipeline, data, cures=cures.KEYS, examples=cures.SHAPES):
        if not each.is_rule:
            hint = _belonging(each.pointer) if each.is_key else None
            findings.add(each.pointer, each.message, hint or each.hint, is_key=each.is_key)
    calls = _Checking(data, findings, catalogue, Texts(findings, secrets, examine_secret)).run(
        Connections(connections, connection_names, is_broken, findings)
    )
    problems = findings.problems()
    is_refused = any(problem.severity == "error" for problem in problems)
    return Loaded(None if is_refused else Pipeline.model_validate(data), problems, tuple(calls))


def _belonging(pointer: Pointer) -> str | None:
    """Where a key at the top of the file belongs: what forgets its '- ' falls out of its list."""
    if len(pointer) > 1:
        return None
    if pointer[0] in Defaults.model_fields:
        return "put it under 'defaults', or into a step"
    if pointer[0] in {each.alias or name for name, each in Step.model_fields.items()}:
        return "it belongs to a step: below 'steps', and indented below the '- ' that begins it"
    return None


def _identified(data: Mapped, findings: Findings) -> Mapped:
    """The data with an id: the file's name unless it says one."""
    if "id" in data:
        return data
    name = findings.document.file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if not re.match(IDENTIFIER, name):
        what = f"the file's name {quoted(name)} cannot be the pipeline's id"
        findings.add((), what, "add 'id: …' of small letters, digits and '_', or rename the file")
        name = "unnamed"
    return {"id": name, **data}


@dataclass(frozen=True, slots=True)
class _Checking:
    """One pass over a file, for what its shape cannot tell."""

    data: Mapped
    findings: Findings
    catalogue: Catalogue
    texts: Texts

    def run(self, connections: Connections) -> Sequence[PipelineCall]:
        """Check it all; returns the calls of other pipelines."""
        data, findings = self.data, self.findings
        places = spots(data, findings, self.catalogue)
        by_id = {spot.id: spot for spot in reversed(places.values())}
        names = set(mapped(data["inputs"])) if isinstance(data.get("inputs"), dict) else None
        self._filled()
        AdmissionCheck(data, findings, self.catalogue, self.texts).run(Scope(OF_A_TRIGGER, by_id, names))
        passed = _inputs_of_headers(data)
        admitted = Scope(OF_ADMISSION, by_id, names, passed=passed)
        self.texts.templates(mapped(data.get("concurrency")).get("key"), ("concurrency", "key"), admitted)
        self.texts.constant(
            mapped(data.get("concurrency")).get("key"), ("concurrency", "key"), admitted, "all runs share one slot"
        )
        flows = FlowCheck(findings, places, str(data.get("id")))
        steps = StepCheck(findings, self.catalogue, self.texts, places, flows, connections)
        scope = Scope(OF_A_RUN, by_id, names, passed=passed)
        steps.sequence(data.get("steps"), ("steps",), scope)
        self.texts.templates(data.get("outputs"), ("outputs",), scope)
        steps.sequence(data.get("on_failure"), ("on_failure",), scope.branch("error"))
        self._responses()
        self._delays()
        check_ids("trigger", ((mapped(each), pointer) for each, pointer in _triggers(data)), findings)
        check_ids("step", _steps(data), findings)
        return flows.calls

    def _responses(self) -> None:
        """A sender who waits for what a step says needs such a step, and the step such a sender."""
        triggers = ((mapped(mapped(each).get("with")), pointer) for each, pointer in _triggers(self.data))
        asking = [(*pointer, "with", "respond") for given, pointer in triggers if given.get("respond") == "step"]
        answering = [(*pointer, "use") for step, pointer in _steps(self.data) if step.get("use") == RESPOND]
        for where in () if answering else asking:
            self.findings.add(where, "no step answers", f"add a step with 'use: {RESPOND}', or write 'result'")
        for where in () if asking else answering:
            what, hint = "nobody waits for what it says", "write 'respond: step' at the webhook that is to be answered"
            self.findings.add(where, what, hint, severity="warning")

    def _delays(self) -> None:
        """A step's delays beside those of `defaults` have to be in order as well."""
        default = mapped(mapped(self.data.get("defaults")).get("retry"))
        self._doubt_delay(default, default, ("defaults", "retry"))
        for step, pointer in _steps(self.data):
            own = mapped(step.get("retry"))
            shortest, longest = (_duration({**default, **own}.get(key)) for key in ("min_delay", "max_delay"))
            is_mixed = ("min_delay" in own) != ("max_delay" in own)
            if is_mixed and shortest is not None and longest is not None and shortest > longest:
                own_key, other = ("min_delay", "max_delay") if "min_delay" in own else ("max_delay", "min_delay")
                word = "longer" if own_key == "min_delay" else "shorter"
                what = f"'{own_key}' is {word} than the '{other}' of 'defaults', which is {default.get(other)}"
                self.findings.add((*pointer, "retry", own_key), what, f"give '{other}' here as well")
            self._doubt_delay(own, {**default, **own}, (*pointer, "retry"))

    def _doubt_delay(self, own: Mapped, policy: Mapped, pointer: Pointer) -> None:
        """Doubt a first delay above the built-in `max_delay`, which would cut it."""
        shortest = _duration(own.get("min_delay"))
        if "max_delay" not in policy and shortest is not None and shortest > RetryPolicy().max_delay:
            what = "'min_delay' is longer than 'max_delay', which is 5m where it is not given"
            self.findings.add((*pointer, "min_delay"), what, "give 'max_delay' here as well", severity="warning")

    def _filled(self) -> None:
        check_filled(self.data, (), self.findings)
        for key in ("defaults", "concurrency"):
            check_filled(mapped(self.data.get(key)), (key,), self.findings)
        retry = mapped(mapped(self.data.get("defaults")).get("retry"))
        check_filled(retry, ("defaults", "retry"), self.findings)


def _duration(value: JSON) -> int | None:
    """The milliseconds of a duration; None of what is none, which its model refuses."""
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _steps(data: Mapped) -> Iterator[tuple[Mapped, Pointer]]:
    yield from every_step(data.get("steps"), ("steps",))
    yield from every_step(data.get("on_failure"), ("on_failure",))


def _inputs_of_headers(data: Mapped) -> set[str]:
    """The inputs to which a trigger gives its headers as a whole."""
    given = (mapped(mapped(each).get("inputs")) for each, _ in _triggers(data))
    return {name for each in given for name, value in each.items() if _is_headers(value)} - {HEADERS}


def _is_headers(value: JSON) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\{\{\s*trigger\.headers\s*\}\}", value.strip()) is not None


def _triggers(data: Mapped) -> Iterator[tuple[JSON, Pointer]]:
    for index, trigger in enumerate(listed(data.get("triggers"))):
        yield trigger, ("triggers", index)
