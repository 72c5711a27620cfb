"""From a pipeline's text to a checked pipeline, or to all that is wrong with it.

Pure: the text comes in, and whoever calls has read the file. No text and no bytes make it raise.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from durable.blocks.policies import DefaultsSpec
from durable.blocks.syntax import Mapped, get_list, get_mapping
from durable.durations import parse_duration
from durable.expressions.headers import HEADERS
from durable.language import foreign
from durable.language.catalogue import Catalogue
from durable.language.connections import ConnectionChecker, Find
from durable.language.core_action_check import CoreActionCheck, PipelineCall
from durable.language.expression_check import ExpressionCheck
from durable.language.pipeline import PipelineSpec
from durable.language.report import Report
from durable.language.scope import OF_A_RUN, OF_A_TRIGGER, OF_ADMISSION, Scope
from durable.language.step_check import StepCheck, check_filled, check_ids
from durable.language.step_info import collect_steps
from durable.language.steps import STEP_KEYS, WORDS, walk_steps
from durable.language.trigger_check import TriggerCheck
from durable.language.validation import find_data_problems
from durable.problem import Pointer, Problem
from durable.retry import RetryPolicy
from durable.spec_model import IDENTIFIER
from durable.values import JSON
from durable.wording import quote
from durable.yaml.document import LIMITS, DocumentLimits, YamlDocument

__all__ = ["Catalogue", "LoadResult", "load_pipeline"]

RESPOND = "flow.respond"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a text amounts to: a pipeline if there is no error, and every problem in the order of the text. `calls` are
    its calls of other pipelines, which are there or not whatever this text says."""

    pipeline: PipelineSpec | None
    problems: tuple[Problem, ...]
    calls: tuple[PipelineCall, ...] = ()


def load_pipeline(
    text: str | bytes,
    *,
    file: str,
    catalogue: Catalogue,
    secrets: Callable[[str], bool] | None = None,
    examine_secret: Callable[[str], Sequence[str]] | None = None,
    connections: Find | None = None,
    connection_names: Collection[str] = (),
    is_broken: Callable[[str], bool] = lambda connection: False,
    limits: DocumentLimits = LIMITS,
) -> LoadResult:
    """Check a pipeline's text.

    `secrets` says whether a secret has a value, `examine_secret` what is wrong or doubtful about it; both are warnings.
    `connections` gives the connector that a connection is of, and None if there is no such connection, which is an
    error; `connection_names` are those to suggest, and `is_broken` says of which ones something is there that is wrong.
    What is not given is unknown and not checked.
    """
    document = YamlDocument.read(text, file, limits, words=WORDS)
    findings = Report(document, limits.problems)
    data = document.data
    if not document.is_whole:
        return LoadResult(None, findings.problems())
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "the file is not a mapping"
        findings.add((), what, "a pipeline begins with 'steps:'; see the language's reference")
        return LoadResult(None, findings.problems())
    data = _add_id(data, findings)
    for each in find_data_problems(PipelineSpec, data, cures=foreign.KEYS, examples=foreign.SHAPES):
        hint = _explain_misplaced_key(each.pointer) if each.is_key else None
        findings.add(each.pointer, each.message, hint or each.hint, is_key=each.is_key)
    calls = _FileCheck(data, findings, catalogue, ExpressionCheck(findings, secrets, examine_secret)).run(
        ConnectionChecker(connections, connection_names, is_broken, findings)
    )
    problems = findings.problems()
    is_refused = any(problem.severity == "error" for problem in problems)
    return LoadResult(None if is_refused else PipelineSpec.model_validate(data), problems, tuple(calls))


def _explain_misplaced_key(pointer: Pointer) -> str | None:
    """Where a key at the top of the file belongs: what forgets its '- ' falls out of its list."""
    if len(pointer) > 1:
        return None
    if pointer[0] in DefaultsSpec.model_fields:
        return "put it under 'defaults', or into a step"
    if pointer[0] in STEP_KEYS:
        return "it belongs to a step: below 'steps', and indented below the '- ' that begins it"
    return None


def _add_id(data: Mapped, findings: Report) -> Mapped:
    """The data with an id: the file's name unless it says one."""
    if "id" in data:
        return data
    name = findings.document.source.file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if not re.match(IDENTIFIER, name):
        what = f"the file's name {quote(name)} cannot be the pipeline's id"
        findings.add((), what, "add 'id: …' of small letters, digits and '_', or rename the file")
        name = "unnamed"
    return {"id": name, **data}


@dataclass(frozen=True, slots=True)
class _FileCheck:
    """One pass over a file, for what its shape cannot tell."""

    data: Mapped
    findings: Report
    catalogue: Catalogue
    texts: ExpressionCheck

    def run(self, connections: ConnectionChecker) -> Sequence[PipelineCall]:
        """Check it all; returns the calls of other pipelines."""
        data, findings = self.data, self.findings
        places = collect_steps(data, findings, self.catalogue)
        by_id = {spot.id: spot for spot in reversed(places.values())}
        names = set(get_mapping(data["inputs"])) if isinstance(data.get("inputs"), dict) else None
        self._check_filled()
        TriggerCheck(data, findings, self.catalogue, self.texts).run(Scope(OF_A_TRIGGER, by_id, names))
        passed = _find_header_inputs(data)
        admitted = Scope(OF_ADMISSION, by_id, names, passed=passed)
        self.texts.check_templates(get_mapping(data.get("concurrency")).get("key"), ("concurrency", "key"), admitted)
        self.texts.doubt_constant(
            get_mapping(data.get("concurrency")).get("key"), ("concurrency", "key"), admitted, "all runs share one slot"
        )
        core = CoreActionCheck(findings, places, str(data.get("id")))
        steps = StepCheck(findings, self.catalogue, self.texts, places, core, connections)
        scope = Scope(OF_A_RUN, by_id, names, passed=passed)
        steps.check_sequence(data.get("steps"), ("steps",), scope)
        self.texts.check_templates(data.get("outputs"), ("outputs",), scope)
        steps.check_sequence(data.get("on_failure"), ("on_failure",), scope.branch("error"))
        self._check_responses()
        self._check_delays()
        check_ids("trigger", ((get_mapping(each), pointer) for each, pointer in _walk_triggers(data)), findings)
        check_ids("step", _walk_steps(data), findings)
        return core.calls

    def _check_responses(self) -> None:
        """A sender who waits for what a step says needs such a step, and the step such a sender."""
        triggers = (
            (get_mapping(get_mapping(each).get("with")), pointer) for each, pointer in _walk_triggers(self.data)
        )
        asking = [(*pointer, "with", "respond") for given, pointer in triggers if given.get("respond") == "step"]
        answering = [(*pointer, "use") for step, pointer in _walk_steps(self.data) if step.get("use") == RESPOND]
        for where in () if answering else asking:
            self.findings.add(where, "no step answers", f"add a step with 'use: {RESPOND}', or write 'result'")
        for where in () if asking else answering:
            what, hint = "nobody waits for what it says", "write 'respond: step' at the webhook that is to be answered"
            self.findings.add(where, what, hint, severity="warning")

    def _check_delays(self) -> None:
        """A step's delays beside those of `defaults` have to be in order as well."""
        default = get_mapping(get_mapping(self.data.get("defaults")).get("retry"))
        self._doubt_delay(default, default, ("defaults", "retry"))
        for step, pointer in _walk_steps(self.data):
            own = get_mapping(step.get("retry"))
            shortest, longest = (_try_parse_duration({**default, **own}.get(key)) for key in ("min_delay", "max_delay"))
            is_mixed = ("min_delay" in own) != ("max_delay" in own)
            if is_mixed and shortest is not None and longest is not None and shortest > longest:
                own_key, other = ("min_delay", "max_delay") if "min_delay" in own else ("max_delay", "min_delay")
                word = "longer" if own_key == "min_delay" else "shorter"
                what = f"'{own_key}' is {word} than the '{other}' of 'defaults', which is {default.get(other)}"
                self.findings.add((*pointer, "retry", own_key), what, f"give '{other}' here as well")
            self._doubt_delay(own, {**default, **own}, (*pointer, "retry"))

    def _doubt_delay(self, own: Mapped, policy: Mapped, pointer: Pointer) -> None:
        """Doubt a first delay above the built-in `max_delay`, which would cut it."""
        shortest = _try_parse_duration(own.get("min_delay"))
        if "max_delay" not in policy and shortest is not None and shortest > RetryPolicy().max_delay:
            what = "'min_delay' is longer than 'max_delay', which is 5m where it is not given"
            self.findings.add((*pointer, "min_delay"), what, "give 'max_delay' here as well", severity="warning")

    def _check_filled(self) -> None:
        check_filled(self.data, (), self.findings)
        for key in ("defaults", "concurrency"):
            check_filled(get_mapping(self.data.get(key)), (key,), self.findings)
        retry = get_mapping(get_mapping(self.data.get("defaults")).get("retry"))
        check_filled(retry, ("defaults", "retry"), self.findings)


def _try_parse_duration(value: JSON) -> int | None:
    """The milliseconds of a duration; None of what is none, which its model refuses."""
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _walk_steps(data: Mapped) -> Iterator[tuple[Mapped, Pointer]]:
    yield from walk_steps(data.get("steps"), ("steps",))
    yield from walk_steps(data.get("on_failure"), ("on_failure",))


def _find_header_inputs(data: Mapped) -> set[str]:
    """The inputs to which a trigger gives its headers as a whole."""
    given = (get_mapping(get_mapping(each).get("inputs")) for each, _ in _walk_triggers(data))
    return {name for each in given for name, value in each.items() if _is_headers(value)} - {HEADERS}


def _is_headers(value: JSON) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\{\{\s*trigger\.headers\s*\}\}", value.strip()) is not None


def _walk_triggers(data: Mapped) -> Iterator[tuple[JSON, Pointer]]:
    for index, trigger in enumerate(get_list(data.get("triggers"))):
        yield trigger, ("triggers", index)
