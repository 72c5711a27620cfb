"""The full evidence, by command: `python -m tests.kill --kills 60 --seed 7`; exit code 1 if a claim fails."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.kill.evidence import Evidence
from tests.kill.loop import KINDS, kill_loop


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.kill", description="Kill the service under load.")
    arguments.add_argument("--kills", type=int, default=60, help=f"how many kills, at least {len(KINDS)}")
    arguments.add_argument("--seed", type=int, default=random.randrange(10_000), help="for the same kills again")
    arguments.add_argument("--keep", type=Path, help="a new folder in which everything stays to be looked at")
    given = arguments.parse_args()
    if given.kills < len(KINDS):
        arguments.error(f"--kills: there are {len(KINDS)} kinds")
    sys.stdout.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="waypost-kill-") as temporary:
        folder: Path = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        evidence = Evidence(asyncio.run(kill_loop(folder, kills=given.kills, seed=given.seed)))
    sys.stdout.write(evidence.table())
    return 0 if evidence.holds else 1


if __name__ == "__main__":
    sys.exit(main())
