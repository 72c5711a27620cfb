"""The definition of a run's step: its text, and what each expression in its input became and where it came from."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from durable.expressions.compiler import DottedName
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Pointer, Template
from durable.history.state import State
from durable.journal.folds import Fold
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.path import find_step_path, frame_of, join_path, split_frame, strip_numbers
from durable.steps.resolved import ActionStep
from durable.values import JSON
from durable.yaml.document import YamlDocument
from triggers.documents.version_steps import NameReadDocument, StepDefinitionDocument, TemplateDocument
from triggers.not_found import StepNotFound
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.rows import find_run
from triggers.runs.version_steps import VersionSteps, load_version_steps
from triggers.versions import format_step

TEMPLATES_LIMIT = 100
"""The templates of one step that are listed."""

VALUE_LIMIT = 1_000
"""The bytes of a value from which it is not listed beside its template."""

INPUT_LIMIT = 1_000_000
"""The bytes of an input in which the values of templates are looked up."""


async def encode_step_definition(
    reads: Reads, run: str, path: str, file: tuple[str, bytes] | None, *, may_answer: bool = True
) -> bytes:
    """Encode a `StepDefinitionDocument`. `file` is the name and the text of the file that means the run's version, if
    one still does. Raises `RunNotFound` and `StepNotFound`."""
    found, path = await find_run(reads, run), find_step_path(path)

    def encode(scan: Scan, fold: Fold) -> bytes:
        version = load_version_steps(scan.load_definition(found.version))
        step = version.find_step(path)
        if step is None:
            raise StepNotFound(run, path)
        encoder = DocumentEncoder(scan, run, may_answer=may_answer)
        line = find_line(file[1], path) if file else None
        document = StepDefinitionDocument(
            path=path,
            text=format_step(step),
            file=file[0] if file and line else None,
            line=line,
            templates=_list_templates(fold.state, path, step, version, encoder) if isinstance(step, ActionStep) else [],
        )
        return encoder.encode(document)

    return await reads.scan_fold(found, encode)


# -- expressions


def _list_templates(
    state: State, path: str, step: ActionStep, version: VersionSteps, encoder: DocumentEncoder
) -> list[TemplateDocument]:
    try:
        expressions = Template.parse(step.input, step.urls).expressions
    except ExpressionError:
        return []
    names: dict[Pointer, dict[DottedName, None]] = {}
    for pointer, expression in expressions:
        names.setdefault(pointer, {}).update(dict.fromkeys(sorted(expression.names)))
    given = _load_input(state, path, encoder)
    return [
        TemplateDocument(
            ".".join(map(str, pointer)),
            str(_find_part(step.input, pointer)),
            _shorten(_find_part(given, pointer)),
            [NameReadDocument(".".join(map(str, name)), _find_source(state, version, path, name)) for name in read],
        )
        for pointer, read in list(names.items())[:TEMPLATES_LIMIT]
    ]


def _load_input(state: State, path: str, encoder: DocumentEncoder) -> JSON:
    step = state.steps.get(path)
    if step is None or step.input.size > INPUT_LIMIT:
        return None
    given: JSON = msgspec.json.decode(msgspec.json.encode(encoder.input(step.input, step.secrets)))
    return given


def _find_part(tree: JSON, pointer: Pointer) -> JSON:
    for key in pointer:
        match tree:
            case dict():
                tree = tree.get(str(key))
            case list() if isinstance(key, int) and key < len(tree):
                tree = tree[key]
            case _:
                return None
    return tree


def _shorten(value: JSON) -> JSON:
    return value if len(msgspec.json.encode(value)) <= VALUE_LIMIT else None


def _find_source(state: State, version: VersionSteps, path: str, name: DottedName) -> str | None:
    """The step of the run that a name comes from: the nearest one with its id, or the loop of an item."""
    root, *rest = map(str, name)
    if root == "steps" and rest:
        frame: str | None = frame_of(path)
        while frame is not None:
            if (found := join_path(frame, rest[0])) in state.steps:
                return found
            frame = frame_of(split_frame(frame)[0]) if frame else None
        return None
    loop = frame_of(path)
    while loop:
        loop, number = split_frame(loop)
        step = version.find_step(loop)
        if number is not None and root in ("index", getattr(step, "name", "")):
            return loop
        loop = frame_of(loop)
    return None


# -- its place in the file


def find_line(data: bytes, path: str) -> int | None:
    """The line of a step in a pipeline's file; None if it is not found."""
    document = YamlDocument.read(data, "")
    pointer: Pointer = ()
    for id in strip_numbers(path).split("."):
        inner = next(_find_steps(_find_part(document.data, pointer), id, pointer), None)
        if inner is None:
            return None
        pointer = inner
    return document.position(pointer)[0]


def _find_steps(tree: JSON, id: str, pointer: Pointer) -> Iterator[Pointer]:
    """Find the steps with this id in a step or a file: in lists of mappings, however deep they are written, outside of
    other steps."""
    match tree:
        case Mapping():
            for key, value in tree.items():
                yield from _find_steps(value, id, (*pointer, key))
        case Sequence() if not isinstance(tree, str):
            for number, each in enumerate(tree):
                if isinstance(each, dict) and "id" in each:
                    if each["id"] == id:
                        yield (*pointer, number)
                else:
                    yield from _find_steps(each, id, (*pointer, number))
