"""A child process for tests: `python -m tests.journal.child TASK FOLDER` prints what it did."""

import asyncio
import itertools
import resource
import sys
from pathlib import Path

from durable.history.entries import AnyEntry
from durable.journal.errors import JournalBroken
from durable.journal.journal import Journal
from tests.journal import samples


def say(text: str) -> None:
    print(text, flush=True)


async def hold(journal: Journal) -> None:
    """Keep the data folder until killed."""
    say("open")
    await asyncio.Event().wait()


async def commit(journal: Journal) -> None:
    """Write until killed, printing a line `RUN ENTRIES` for what is acknowledged."""

    async def work(worker: int) -> None:
        number = 0
        while True:
            run = await samples.a_run(journal, f"{worker}-{number}")
            say(f"{run} 1")
            for after in (1, 3, 5):
                entries: list[AnyEntry] = [
                    samples.make_step_scheduled(),
                    samples.make_step_completed(output=samples.LARGE),
                ]
                await journal.append(run, 1, after, entries, samples.RUNNING)
                say(f"{run} {after + 2}")
            number += 1

    await asyncio.gather(*(work(worker) for worker in range(16)))


async def fail(journal: Journal) -> None:
    """Write until the operating system refuses to let the file grow: an I/O error that is not a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    for number in itertools.count():
        pair = [journal.add_definition(f"v{number}-{half}", "orders", b"x" * 100_000, 1_000) for half in "ab"]
        answers = await asyncio.gather(*pair, return_exceptions=True)
        for half, answer in zip("ab", answers, strict=True):
            say(f"v{number}-{half} {'kept' if answer is None else type(answer).__name__}")
        if any(answers):
            break
    try:
        journal.add_definition("late", "orders", b"", 1_000)
    except JournalBroken:
        say("late refused")
    await journal.close()


async def main(task: str, folder: Path) -> None:
    journal = await Journal.open(folder, node="node-1", on_fatal=lambda error: say(f"fatal {type(error).__name__}"))
    await {"hold": hold, "commit": commit, "fail": fail}[task](journal)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
