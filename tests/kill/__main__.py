"""The full evidence, by command: `python -m tests.kill --kills 60 --seed 7 [--constructs]`; exit code 1 if a claim
fails."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.kill.claims import evidence_of
from tests.kill.loop import CONSTRUCTS, STEPS, kill_loop
from tests.kill.sabotage import SABOTAGES


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.kill", description="Kill the service under load.")
    arguments.add_argument("--kills", type=int, default=60, help="how many kills")
    arguments.add_argument("--seed", type=int, default=random.randrange(10_000), help="for the same kills again")
    arguments.add_argument("--keep", type=Path, help="a new folder in which everything stays to be looked at")
    arguments.add_argument("--constructs", action="store_true", help="with pipelines of every construct")
    arguments.add_argument("--sabotage", choices=SABOTAGES, default="", help="break the service, to see that it shows")
    given = arguments.parse_args()
    scenario = CONSTRUCTS if given.constructs else STEPS
    sys.stdout.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="waypost-kill-") as temporary:
        folder: Path = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        loop = kill_loop(folder, kills=given.kills, seed=given.seed, scenario=scenario, sabotage=given.sabotage)
        evidence = evidence_of(asyncio.run(loop))
    sys.stdout.write(evidence.table())
    return 0 if evidence.holds else 1


if __name__ == "__main__":
    sys.exit(main())
