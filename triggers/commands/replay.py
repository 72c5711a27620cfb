"""`waypost replay`: take deliveries in again, as new runs."""

from typing import Annotated, Any

import typer

from triggers.commands.ask import ask_service, complete_id
from triggers.commands.many import act_on_many
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents.starts import ReplayedDocument
from triggers.not_found import DeliveryNotFound, IdAmbiguous, IdNotFound
from triggers.reading.client import ServiceClient, ServiceRefused

Ids = Annotated[
    list[str],
    typer.Argument(metavar="DELIVERY...", help="The deliveries: ids, beginnings or ends of ids, or `latest`."),
]
To = Annotated[
    str | None, typer.Option(metavar="PIPELINE[/TRIGGER]", help="Another pipeline's webhook; default: its own.")
]
Unverified = Annotated[
    bool, typer.Option("--unverified", help="Skip the signature check; needs a key with the scope admin.")
]


@act_on_many("replay")
def replay(
    deliveries: Ids,
    to: To = None,
    unverified: Unverified = False,
    reason: Annotated[str | None, typer.Option(help="The reason, shown with each run.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    how: dict[str, Any] = {"to": to, "unverified": unverified, "reason": reason}

    async def ask(service: ServiceClient) -> list[tuple[str, ReplayedDocument | str]]:
        return [await _replay(service, id, how) for id in deliveries]

    done = ask_service(config, data, ask)
    if as_json:
        print_json([{"of": id, "problem": each} if isinstance(each, str) else each for id, each in done])
    for id, each in done:
        if isinstance(each, str):
            typer.echo(f"waypost: {id}: {each}", err=True)
        elif not as_json:
            typer.echo(f"{each.id} replays {each.of} on {each.pipeline}; `waypost show {each.id}`")
        if isinstance(each, ReplayedDocument) and each.hint:
            typer.echo(each.hint, err=True)
    if any(isinstance(each, str) for _, each in done):
        raise typer.Exit(1)


async def _replay(service: ServiceClient, id: str, how: dict[str, Any]) -> tuple[str, ReplayedDocument | str]:
    """The delivery, and the run of its replay or why there is none: what is wrong with one delivery does not touch the
    others."""
    try:
        id = await complete_id(service, "delivery", id)
        return id, await service.replay_delivery(id, how)
    except (ServiceRefused, DeliveryNotFound, IdNotFound, IdAmbiguous) as refused:
        return id, str(refused)
