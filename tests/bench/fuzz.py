"""Feed damaged pipelines or connectors to their loader, and the accepted ones to everything that reads them.

python -m tests.bench.fuzz [--connectors] [--seconds 20] [--seed 1]

Most damage is to data: any value at any position, renamed keys, swapped, wrapped and repeated values. The rest is to
bytes. A fault is printed with its cause: an exception, a problem without a position or in pydantic's
words, a file that the loader accepts and the editor schema rejects. Tests use this damage as well.
"""

import argparse
import json
import random
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema_rs

from connectors.yaml_form.editor_schema import make_connector_schema
from connectors.yaml_form.load import load_connector
from connectors.yaml_form.spec import ConnectorSpec
from durable.action import LoadedConnector
from durable.blocks.core_actions import CORE_INPUTS
from durable.declared import write_texts
from durable.language.catalogue import Catalogue
from durable.language.editor_schema import make_pipeline_schema
from durable.language.load import LoadResult, load_pipeline
from durable.language.pipeline import PipelineSpec
from durable.language.resolve import resolve_pipeline
from durable.language.validation import find_data_problems
from durable.problem import Problem
from durable.yaml.document import YamlDocument
from triggers.config.catalogue import load_connectors
from triggers.kinds import list_kinds, list_models

ROOT = Path(__file__).parent.parent.parent
SEEDS = [*sorted((ROOT / "config" / "pipelines").glob("*.yaml")), ROOT / "tests" / "data" / "order_intake.yaml"]
CONNECTORS = [*sorted((ROOT / "connectors").glob("*.yaml")), ROOT / "tests" / "data" / "connector.yaml"]
PAGES = sorted((ROOT / "docs").glob("*.md"))
ACTIONS = load_connectors().actions
KINDS = list_kinds()
TRIGGERS = list_models()
CATALOGUE = Catalogue(ACTIONS, TRIGGERS)

Data: TypeAlias = Any
Place: TypeAlias = tuple[Any, Any]
"""A container, and a key or an index in it."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is damaged: valid data, the keys that are put into it, and the files whose bytes are damaged."""

    valid: Sequence[Data]
    keys: Sequence[str]
    files: Sequence[Path]


BYTES_IN = 0.1
"""The share of damage that is done to bytes."""

# -- inserted values --------------------------------------------------------------------------------------------

PIECES = [
    *(b"{{", b"}}", b"${{", b"[", b"]", b"{", b"}", b": ", b"- ", b"? ", b"\n", b"\r", b"\t", b"#", b"&a", b"*a"),
    *(b"!!", b"'", b'"', b"|", b">", b"<<: ", b"---\n", b"...\n", b"%YAML 1.1\n", b"0777", b"\xe2\x80\xa8", b"\xff"),
]
NAMES = (
    "a A a-b _ 5 -1 é 30s 0s 99999999999d fail null true object string POST none github hmac token queue stop . http."
)
USES = (
    "http.get log.write nobody.knows webhook schedule event Europe/Berlin ../../etc /orders/{store} /{ header:x-a sig:t"
)
EXPRESSIONS = [
    *(
        "{{ steps.a.output }}",
        "{{ secrets.A }}",
        "x {{ secrets.A }}",
        "{{ secrets }}",
        "{{ secrets.A | upper }}",
        "{{",
        "}}",
    ),
    *("{{ }}", "{{ {} }}", "{{ '}}' }}", "${{ inputs.order }}", "{{ steps }}", "{{ steps.reserve.output[0].steps }}"),
    *(
        "{{ run.links.approval }}",
        "{{ index }}",
        "{{ error.message }}",
        "{{ output.x[0]['a'] }}",
        "inputs.order",
        "[1, 2]",
    ),
    *(
        "{'a': 1}",
        "1 +",
        "a b",
        "steps.customer.status == []",
        "steps.customer.output.status == '200'",
        "a[::2]",
        "x | f",
    ),
    *("{{ [1] * 99999999 }}", "9" * 400, "(" * 300 + ")" * 300, "{{ " + "-" * 500 + "1 }}", "x" * 3000),
]
ODD = [
    "",
    " ",
    "\x00",
    "\ud800",
    "\u2028",
    "0001-01-01T00:00:00+14:00",
    "2027-13-31T09:00:00Z",
    "0 0 31 2 *",
    "60 * * * *",
]
WORDS = [*NAMES.split(), *USES.split(), *CORE_INPUTS, *EXPRESSIONS, *ODD]
STEP = {"id": "zz", "use": "flow.stop"}
PLAIN: list[Data] = [
    *(None, True, False, 0, 1, 30, -1, 2**31, 2**64, -(2**70), 10**99, 0.0, -1.5, 1e308, 5e-324, [], {}, [[]], [{}]),
    *({"a": {}}, [None], {"a": None}, {"": 1}, {"a b": 1}, {"{{ x }}": 1}, ["a", 5], STEP, [STEP], [{"id": ["a"]}]),
    *({"use": {"a": 1}}, {"type": "object"}, {"type": {"a": "{{ x }}"}}, {"$ref": "#"}, {"$ref": "http://x.y/z"}),
    *({"pattern": "("}, {"properties": []}, {"enum": []}, {"multipleOf": 0}, {"allOf": [{"$ref": "#"}]}, {"$id": "::"}),
    *({"preset": {}}, {"preset": "hmac"}, {"scheme": []}, {"scheme": {"sig": {"header": "x-a"}}, "secret": "a"}),
    *({"max_attempts": 10**30}, {"errors": [[]]}, {"until": []}, {"when": []}, {"when": "true", "steps": [STEP]}),
]
VERIFY: list[Data] = [
    *("none", {"preset": "hmac", "header": "x-a", "algorithm": "sha512", "prefix": "v1=", "secret": "{{ secrets.A }}"}),
    {"scheme": {"kind": "token", "carrier": "bearer", "dedupe": "header:x-id"}, "secret": ["{{ secrets.A }}"]},
    {
        "scheme": {
            "sig": {"header": "x-a", "items": ",", "kv": "=", "field": "v1"},
            "ts": {"ref": "sig:t", "tolerance": "3m"},
            "signed": ["ts", {"const": "."}, "body"],
        },
        "secret": "{{ secrets.A }}",
    },
]


# -- valid pipelines --------------------------------------------------------------------------------------------


@cache
def list_valid_pipelines() -> tuple[Data, ...]:
    """Pipelines that load, or nearly load: shipped and documented ones, and each of their parts alone."""
    pages = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    texts = [*(path.read_text("utf-8") for path in SEEDS), *pages]
    whole = [data for data in (YamlDocument.read(text, "sample.yaml").data for text in texts) if _is_pipeline(data)]
    alone = [{"steps": [part]} for data in whole for part in _parts(data, {*ACTIONS, *CORE_INPUTS}, "if", "undo")]
    started = [
        {"triggers": [part], "steps": [STEP]} for data in whole for part in _parts(data, TRIGGERS, "when", "inputs")
    ]
    hooks = [{"id": "a", "use": "webhook", "with": {"path": "/a", "verify": each}} for each in VERIFY]
    return (*whole, *alone, *started, *({"triggers": [hook], "steps": [STEP]} for hook in hooks))


def _is_pipeline(data: Data) -> bool:
    return isinstance(data, dict) and "steps" in data


def _parts(data: Data, uses: Collection[str], *without: str) -> Iterator[Data]:
    """The steps or triggers in the data that use one of these, without keys that refer to others."""
    for owner, key in places(data):
        part = owner[key]
        if isinstance(part, dict) and "id" in part and part.get("use") in uses:
            yield {name: value for name, value in part.items() if name not in without}


def places(data: Data) -> list[Place]:
    """Every container in the data, with every key or index in it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in items for place in [(data, key), *places(value)]]


@cache
def list_pipelines() -> Corpus:
    """Pipelines, with the keys that occur in them, those that are allowed, and a few that are not."""
    valid = list_valid_pipelines()
    said = re.findall(r'"([a-z_]{2,20})": \{', json.dumps(make_pipeline_schema(CATALOGUE)["definitions"]))
    return Corpus(valid, _list_keys(valid, {*said, *PipelineSpec.model_fields}), SEEDS)


@cache
def list_connectors() -> Corpus:
    """Connectors, and each of their actions alone."""
    whole: list[Data] = [YamlDocument.read(path.read_bytes(), path.name).data for path in CONNECTORS]
    alone = [{**data, "actions": {name: action}} for data in whole for name, action in data["actions"].items()]
    said = re.findall(r'"([a-z_]{2,20})": \{', json.dumps(ConnectorSpec.model_json_schema()))
    return Corpus([*whole, *alone], _list_keys(whole, set(said)), CONNECTORS)


def _list_keys(valid: Sequence[Data], known: set[str]) -> Sequence[str]:
    occurring = {key for data in valid for _, key in places(data) if isinstance(key, str)}
    return sorted({*occurring, *known, "", "{{ x }}", "<<", "5", "null", "a-b", "é"})


# -- damage -----------------------------------------------------------------------------------------------------


def make_damaged_data(chance: random.Random, corpus: Corpus) -> Data:
    """Data with one to five random changes."""
    data = deepcopy(chance.choice(corpus.valid))
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 5])):
        if found := places(data):
            _change(chance, *chance.choice(found), found, corpus)
    return data


def _change(chance: random.Random, owner: Data, key: Data, found: Sequence[Place], corpus: Corpus) -> None:
    match chance.choice(["drop", "put", "put", "put", "add", "rename", "exchange", "wrap", "repeat", "unwrap"]):
        case "drop":
            del owner[key]
        case "add" if isinstance(owner, dict):
            new = chance.choice(corpus.keys)
            owner[new] = _value(chance, new, corpus)
        case "rename" if isinstance(owner, dict):
            owner[chance.choice(corpus.keys)] = owner.pop(key)
        case "exchange":
            other, there = chance.choice(found)
            owner[key], other[there] = deepcopy(other[there]), deepcopy(owner[key])
        case "wrap":
            owner[key] = chance.choice([[owner[key]], {chance.choice(corpus.keys): owner[key]}])
        case "repeat" if isinstance(owner, list):
            owner.insert(key, deepcopy(owner[key]))
        case "unwrap" if isinstance(owner[key], dict | list) and owner[key]:
            owner[key] = next(iter(owner[key].values() if isinstance(owner[key], dict) else owner[key]))
        case _:
            owner[key] = _value(chance, key, corpus)


def _value(chance: random.Random, key: object, corpus: Corpus, depth: int = 0) -> Data:
    """A random value, often that of the same key elsewhere."""
    kind = chance.randrange(20 if depth < 4 else 16)
    if kind < 6:
        return chance.choice(WORDS)
    if kind < 11:
        return deepcopy(chance.choice(PLAIN))
    if kind < 16:
        found = places(chance.choice(corpus.valid))
        owner, there = chance.choice([each for each in found if each[1] == key] or found)
        return deepcopy(owner[there])
    if kind < 18:
        return [_value(chance, key, corpus, depth + 1) for _ in range(chance.randint(0, 3))]
    if kind < 19:
        return {key: _value(chance, key, corpus, depth + 1) for key in chance.sample(corpus.keys, chance.randint(0, 4))}
    made: Data = chance.choice(WORDS)
    for _ in range(chance.choice([2, 10, 50])):
        made = chance.choice([[made], {chance.choice(corpus.keys): made}])
    return made


def make_damaged_bytes(chance: random.Random, corpus: Corpus) -> bytes:
    """A file's bytes with a few cuts, copies, changed bytes and insertions; sometimes pure noise."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(4000))
    made = bytearray(chance.choice(corpus.files).read_bytes())
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randrange(len(made) + 1), chance.randint(1, 40)
        match chance.randrange(4):
            case 0:
                del made[at : at + length]
            case 1:
                made[at:at] = made[at : at + length] * chance.randint(1, 3)
            case 2:
                made[at : at + 1] = chance.randbytes(1)
            case _:
                made[at:at] = chance.choice(PIECES)
    return bytes(made)


# -- checks -----------------------------------------------------------------------------------------------------


@cache
def _editor() -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(make_pipeline_schema(CATALOGUE))


@cache
def _connector_editor() -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(make_connector_schema())


def ensure_sound(text: str | bytes) -> LoadResult:
    """Load a text, and set up what can be set up; raises `AssertionError` or the exception of the fault."""
    loaded = load_pipeline(text, file="fuzz.yaml", catalogue=CATALOGUE, secrets=lambda name: name > "M")
    _ensure_told(text, loaded.problems, is_refused=loaded.pipeline is None)
    if loaded.pipeline:
        _set_up(loaded.pipeline)
        refused = [error.message[:300] for error in _editor().iter_errors(YamlDocument.read(text, "fuzz.yaml").data)]
        assert not refused, f"the loader takes what editors refuse: {refused}"
    return loaded


def ensure_connector_sound(text: str | bytes) -> LoadedConnector:
    """Load a connector, and read the models of its actions; raises `AssertionError` or the exception of the fault."""
    loaded = load_connector(text, "fuzz.yaml")
    _ensure_told(text, loaded.problems, is_refused=loaded.connector is None)
    if loaded.connector is None:
        return loaded
    for action in loaded.connector.actions.values():
        for model in (action.input, action.output):
            if model:
                find_data_problems(model, {"a": 1})
                write_texts(model, {"a": 1, "name": [2]})
    data = YamlDocument.read(text, "fuzz.yaml").data
    refused = [error.message[:300] for error in _connector_editor().iter_errors(data)]
    assert not refused, f"the loader takes what editors refuse: {refused}"
    return loaded


def _ensure_told(text: str | bytes, problems: Sequence[Problem], *, is_refused: bool) -> None:
    lines = re.split("\r\n|\r|\n", text if isinstance(text, str) else text.decode(errors="replace"))
    assert is_refused == any(each.severity == "error" for each in problems), "refused or not"
    for each in problems:
        assert 1 <= each.line <= len(lines) + 1, f"a line that is not there: {each}"
        assert 1 <= each.column <= len(lines[min(each.line, len(lines)) - 1]) + 2, f"a column that is not there: {each}"
        assert not re.search("\n|Input should|Field required|Extra inputs|validation error", str(each)), str(each)


def _set_up(pipeline: PipelineSpec) -> None:
    """Set up a loaded pipeline as the folder does."""
    definition = resolve_pipeline(pipeline, CATALOGUE.actions.get)
    for spec in pipeline.triggers or ():
        KINDS[spec.use].compile(definition, spec)


def main(seconds: float, seed: int, corpus: Corpus, ensure: Callable[[str | bytes], object]) -> int:
    """Damage and load for `seconds` of CPU time, and return the number of kinds of faults."""
    chance = random.Random(seed)
    tried, slowest, end = 0, 0.0, time.process_time() + seconds
    faults: dict[str, int] = {}
    while (began := time.process_time()) < end:
        text = (
            make_damaged_bytes(chance, corpus)
            if chance.random() < BYTES_IN
            else json.dumps(make_damaged_data(chance, corpus), indent=1)
        )
        try:
            ensure(text)
        except Exception as error:  # noqa: BLE001  # any exception is a fault
            kind = re.sub(r"\d+", "N", f"{type(error).__name__}: {error}")[:200]
            faults[kind] = faults.get(kind, 0) + 1
            if faults[kind] == 1:
                print(f"{'=' * 80}\n{text!r}")
                traceback.print_exc()
        slowest = max(slowest, time.process_time() - began)
        tried += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"seed {seed}: inputs tried {tried}, kinds of faults {len(faults)}")
    each = seconds / tried * 1000
    print(f"{each:.1f} ms of CPU each, damage included; slowest {slowest * 1000:.0f} ms, peak memory {peak:.0f} MB")
    return len(faults)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--connectors", action="store_true")
    given = parser.parse_args()
    chosen = (list_connectors(), ensure_connector_sound) if given.connectors else (list_pipelines(), ensure_sound)
    sys.exit(1 if main(given.seconds, given.seed, *chosen) else 0)
