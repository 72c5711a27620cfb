"""Loads a pipeline: from the text of a file to a checked pipeline, or to a list of everything that is wrong with it.

Pure: the caller has read the file. No text or bytes make it raise.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from durable.blocks.policies import DefaultsSpec, check_delays
from durable.blocks.respond import ACTION
from durable.expressions.headers import HEADERS
from durable.language.catalogue import Catalogue
from durable.language.connections import ConnectionChecker, Find
from durable.language.core_action_check import CoreActionCheck, PipelineCall
from durable.language.expression_check import ExpressionCheck
from durable.language.foreign import PIPELINE_HINTS
from durable.language.pipeline import PipelineSpec
from durable.language.report import Report
from durable.language.scope import OF_A_RUN, OF_A_TRIGGER, OF_ADMISSION, Scope
from durable.language.step_check import StepCheck, check_filled, check_ids
from durable.language.step_info import collect_steps
from durable.language.steps import STEP_KEYS, WORDS, walk_steps
from durable.language.trigger_check import TriggerCheck
from durable.language.validation import find_data_problems
from durable.problem import Pointer, Problem
from durable.spec_model import IDENTIFIER, Mapped, get_in, get_list, get_mapping
from durable.values import JSON
from durable.wording import quote
from durable.yaml.document import LIMITS, DocumentLimits, YamlDocument


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A pipeline, if the text has no errors, and all problems in the order of the text. `calls` are its calls of other
    pipelines, which can only be checked for the whole folder."""

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
    """Load and check the text of a pipeline. Anything that is not given is unknown and not checked.

    `secrets`: whether a secret has a value; if not, there is a warning.
    `examine_secret`: returns what is doubtful about a secret, as warnings.
    `connections`: returns the connector of a connection; None, if it does not exist, is an error.
    `connection_names`: the names to suggest.
    `is_broken`: whether a connection exists, but has errors.
    """
    document = YamlDocument.read(text, file, limits, words=WORDS)
    report = Report(document, limits.problems)
    data = document.data
    if not document.is_whole:
        return LoadResult(None, report.problems())
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "the file is not a mapping"
        report.add((), what, "a pipeline begins with 'steps:'; see the language's reference")
        return LoadResult(None, report.problems())
    data = _add_id(data, report)
    for each in find_data_problems(PipelineSpec, data, hints=PIPELINE_HINTS):
        hint = _explain_misplaced_key(each.pointer) if each.is_key else None
        report.add(each.pointer, each.message, hint or each.hint, is_key=each.is_key)
    expressions = ExpressionCheck(report, secrets, examine_secret)
    connected = ConnectionChecker(connections, connection_names, is_broken, catalogue.needs_connection, report)
    calls = _check_file(data, report, catalogue, expressions, connected)
    problems = report.problems()
    is_refused = any(problem.severity == "error" for problem in problems)
    return LoadResult(None if is_refused else PipelineSpec.model_validate(data), problems, tuple(calls))


def _explain_misplaced_key(pointer: Pointer) -> str | None:
    """Explain where a key at the top of the file belongs: a step without its '- ' falls out of its list."""
    if len(pointer) > 1:
        return None
    if pointer[0] in DefaultsSpec.model_fields:
        return "put it under 'defaults' or in a step"
    if pointer[0] in STEP_KEYS:
        return "it belongs to a step: put it under 'steps', indented below the '- ' that begins the step"
    return None


def _add_id(data: Mapped, report: Report) -> Mapped:
    """Return the data with an id; the default is the name of the file."""
    if "id" in data:
        return data
    name = report.document.source.file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if not re.match(IDENTIFIER, name):
        what = f"the file's name {quote(name)} cannot be the pipeline's id"
        report.add((), what, "add 'id: …' of lower-case letters, digits and '_', or rename the file")
        name = "unnamed"
    return {"id": name, **data}


def _check_file(
    data: Mapped,
    report: Report,
    catalogue: Catalogue,
    expressions: ExpressionCheck,
    connections: ConnectionChecker,
) -> Sequence[PipelineCall]:
    """Check what the models cannot; returns the calls of other pipelines."""
    infos = collect_steps(data, report, catalogue)
    by_id = {info.id: info for info in reversed(infos.values())}
    names = set(get_mapping(data["inputs"])) if isinstance(data.get("inputs"), dict) else None
    for at in ((), ("defaults",), ("concurrency",), ("retention",), ("defaults", "retry")):
        check_filled(get_mapping(get_in(data, *at)), at, report)
    TriggerCheck(data, report, catalogue, expressions).run(Scope(OF_A_TRIGGER, by_id, names))
    passed = _find_header_inputs(data)
    key, admitted = get_in(data, "concurrency", "key"), Scope(OF_ADMISSION, by_id, names, passed=passed)
    expressions.check_templates(key, ("concurrency", "key"), admitted)
    expressions.doubt_constant(key, ("concurrency", "key"), admitted, "all runs share one limit")
    core = CoreActionCheck(report, infos, str(data.get("id")))
    checker = StepCheck(report, catalogue, expressions, infos, core, connections)
    scope = Scope(OF_A_RUN, by_id, names, passed=passed)
    checker.check_sequence(data.get("steps"), ("steps",), scope)
    expressions.check_templates(data.get("outputs"), ("outputs",), scope)
    checker.check_sequence(data.get("on_failure"), ("on_failure",), scope.branch("error"))
    steps = [*walk_steps(data.get("steps"), ("steps",)), *walk_steps(data.get("on_failure"), ("on_failure",))]
    _check_responses(data, steps, report)
    default = get_mapping(get_in(data, "defaults", "retry"))
    report.add_all(check_delays(default, {}), ("defaults", "retry"))
    for step, pointer in steps:
        report.add_all(check_delays(get_mapping(step.get("retry")), default), (*pointer, "retry"))
    check_ids("trigger", _walk_triggers(data), report)
    check_ids("step", steps, report)
    return core.calls


def _check_responses(data: Mapped, steps: Sequence[tuple[Mapped, Pointer]], report: Report) -> None:
    """Check that a trigger with `respond: step` has a step that responds, and that such a step has such a trigger."""
    respond = ACTION.use
    asking = [
        (*pointer, "with", "respond")
        for trigger, pointer in _walk_triggers(data)
        if get_in(trigger, "with", "respond") == "step"
    ]
    answering = [(*pointer, "use") for step, pointer in steps if step.get("use") == respond]
    for where in () if answering else asking:
        report.add(where, "no step sends a response", f"add a step with 'use: {respond}', or write 'result'")
    for where in () if asking else answering:
        what, hint = "no request waits for its response", "set 'respond: step' on the webhook whose request it answers"
        report.add(where, what, hint, severity="warning")


def _find_header_inputs(data: Mapped) -> set[str]:
    """Return the inputs to which a trigger passes all its headers."""
    given = (get_mapping(trigger.get("inputs")) for trigger, _ in _walk_triggers(data))
    return {name for each in given for name, value in each.items() if _is_headers(value)} - {HEADERS}


def _is_headers(value: JSON) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\{\{\s*trigger\.headers\s*\}\}", value.strip()) is not None


def _walk_triggers(data: Mapped) -> Iterator[tuple[Mapped, Pointer]]:
    for index, trigger in enumerate(get_list(data.get("triggers"))):
        yield get_mapping(trigger), ("triggers", index)
