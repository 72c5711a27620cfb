"""Record histories: `python -m tests.histories.record [--again] [NAME ...]`.

Runs of the pipelines next to this file go through a whole service. Existing histories are kept: the older a history
that the core must be able to replay, the more it is worth.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.histories import is_there, write
from tests.histories.scenes import Scene, scenes
from tests.histories.stage import stage


async def record(wanted: set[str], play: Scene) -> list[str]:
    """Play one scene, and store the wanted histories."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder) / "place") as made:
            runs = await play(made)
            for name in sorted(wanted & runs.keys()):
                write(name, *await made.export_run(runs[name]))
    return sorted(wanted & runs.keys())


async def main(names: list[str], *, again: bool) -> int:
    found = scenes()
    if unknown := set(names) - found.keys():
        print(f"there is no scene for {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    wanted = {name for name in names or found if again or not is_there(name)}
    for play in dict.fromkeys(found[name] for name in sorted(wanted)):
        for name in await record(wanted, play):
            print(f"recorded {name}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--again", action="store_true", help="also those that are there")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.names, again=given.again)))
