"""What OpenAPI documents cost: operations understood, time to load and to compile them, memory, stored forms.

    python -m tests.bench.openapi FOLDER [--skipped 5]

Each document of the folder (JSON or YAML) is measured in a process of its own. `load` reads the document and lists its
operations, as a service does; `compile` makes an action of every operation, which a service does only for those that
are used. `memory` is what loading adds to the process, and what all actions add. `stored` is the size (bytes) of what a
pipeline's version keeps of one action, `editor` that of the definitions of all inputs in the editor's schema.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from connectors.openapi.document import ImportedDocument
from connectors.openapi.files import open_document
from connectors.openapi.load import load_import
from durable.language.catalogue import Catalogue
from durable.language.editor_schema import make_pipeline_schema

ROOT = Path(__file__).parents[2]


class Figures(msgspec.Struct):
    """What one document costs; times in seconds of this process, memory in MB, sizes in bytes."""

    version: str
    size: int
    operations: int
    understood: int
    skipped: dict[str, str]
    load: float
    compile: float
    memory_loaded: float
    memory_compiled: float
    stored_median: int
    stored_most: int
    most_stored: str
    editor: int


def measure(path: Path) -> Figures:
    """Load a document and make all of its actions."""
    before, begun = read_memory(), time.process_time()
    document: list[ImportedDocument] = []

    def open_named(name: str) -> ImportedDocument:
        document.append(open_document(path, name))
        return document[0]

    loaded = load_import(f"openapi: {json.dumps(path.name)}", "bench.yaml", open_named)
    load, memory = time.process_time() - begun, read_memory()
    if loaded.connector is None:
        raise SystemExit(f"{path.name}: {'; '.join(map(str, loaded.problems))}")
    begun = time.process_time()
    actions = dict(loaded.connector.actions)
    compiled = time.process_time() - begun
    after = read_memory()
    sizes = sorted((len(msgspec.json.encode(action.stored)), name) for name, action in actions.items())
    schema = make_pipeline_schema(Catalogue({f"bench.{name}": each for name, each in actions.items()}, {}))
    return Figures(
        version=document[0].version,
        size=path.stat().st_size,
        operations=len(actions) + len(loaded.connector.skipped),
        understood=len(actions),
        skipped=dict(loaded.connector.skipped),
        load=load,
        compile=compiled,
        memory_loaded=memory - before,
        memory_compiled=after - memory,
        stored_median=int(statistics.median(size for size, _ in sizes)),
        stored_most=sizes[-1][0],
        most_stored=sizes[-1][1],
        editor=len(json.dumps(schema, indent=2)),
    )


def read_memory() -> float:
    """Return the memory of this process in MB."""
    gc.collect()
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def show(folder: Path, most_skipped: int) -> None:
    print(
        "document           version   MB  understood   load s  compile s   MB loaded  MB all  stored median  most  "
        "editor kB"
    )
    total: Counter[str] = Counter()
    for path in sorted(each for each in folder.iterdir() if each.suffix in {".json", ".yaml", ".yml"}):
        command = [sys.executable, "-m", "tests.bench.openapi", str(path), "--one"]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
        if run.returncode:
            continue
        of = msgspec.json.decode(run.stdout, type=Figures)
        total.update(understood=of.understood, operations=of.operations)
        print(
            f"{path.stem:18} {of.version:7} {of.size / 1e6:5.1f} {of.understood:6}/{of.operations:<5} {of.load:7.3f} "
            f"{of.compile:9.2f} {of.memory_loaded:11.1f} {of.memory_compiled:7.1f} {of.stored_median:13,} "
            f"{of.stored_most:9,} {of.editor // 1000:8,}"
        )
        for reason, number in Counter(of.skipped.values()).most_common(most_skipped):
            print(f"    {number} skipped: {reason}")
    print(f"{total['understood']}/{total['operations']} operations understood")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skipped", type=int, default=5, help="how many reasons to list for each document")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sys.stdout.buffer.write(msgspec.json.encode(measure(given.folder.resolve())))
    else:
        show(given.folder, given.skipped)
