"""Random bytes and mutated files against the loader: `python -m tests.bench.fuzz [--seconds 20] [--seed 1]`."""

import argparse
import random
import resource
import time
from pathlib import Path

from durable.flow import CORE_ACTIONS
from durable.language.load import Catalogue, load
from triggers.folder import TRIGGERS
from triggers.service import actions

ROOT = Path(__file__).parent.parent.parent
SEEDS = [*(ROOT / "config" / "pipelines").glob("*.yaml"), ROOT / "tests" / "data" / "order_intake.yaml"]
PIECES = [
    b"{{",
    b"}}",
    b"[",
    b"]",
    b"{",
    b"}",
    b": ",
    b"- ",
    b"\n",
    b"\t",
    b"#",
    b"&a",
    b"*a",
    b"!!",
    b"'",
    b'"',
    b"|",
    b">",
    b"\xff",
]


def main(seconds: float, seed: int) -> None:
    chance = random.Random(seed)
    catalogue = Catalogue(actions(), CORE_ACTIONS, TRIGGERS)
    originals = [path.read_bytes() for path in SEEDS]
    tried, valid, slowest, end = 0, 0, 0.0, time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        text = (
            _mutated(chance, chance.choice(originals))
            if chance.random() < 0.9
            else chance.randbytes(chance.randrange(4000))
        )
        loaded = load(text, file="fuzz.yaml", catalogue=catalogue)
        slowest = max(slowest, time.perf_counter() - began)
        tried += 1
        valid += loaded.pipeline is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"seed {seed}: inputs tried {tried}, of them valid {valid}, crashes 0")
    print(f"slowest {slowest * 1000:.0f} ms, peak memory {peak:.0f} MB")


def _mutated(chance: random.Random, text: bytes) -> bytes:
    """A few cuts, copies, exchanged bytes and inserted pieces."""
    made = bytearray(text)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.seconds, given.seed)
