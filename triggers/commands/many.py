"""`--all` of the commands that act on a run or a delivery: with filters instead of an id, they act on all that match.

The command shows what that is, asks, and creates a bulk, which the service works off.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

import typer

from durable.bulks import REPEATING, BulkAction
from durable.history.words import RunStatus
from durable.units import DeliveryOutcome
from durable.wording import count_things
from triggers.commands.ask import ask_service, complete_id
from triggers.commands.failure import WRONG_USE, CommandFailed
from triggers.commands.follow_bulk import follow_bulk, print_bulk_end
from triggers.commands.output import format_time, open_console, print_fields, print_json
from triggers.commands.parameters import (
    ErrorFilter,
    OutcomeFilter,
    PipelineFilter,
    Since,
    StatusFilter,
    TagFilter,
    TriggerFilter,
    Until,
    VersionFilter,
    parse_choice,
    parse_window,
)
from triggers.documents.bulks import BulkPreviewDocument, MatchDocument
from triggers.reading.client import ServiceClient

Command: TypeAlias = Callable[..., None]

Webhook = Annotated[str | None, typer.Option(metavar="PIPELINE/TRIGGER", help="Only deliveries to this webhook.")]

RUN_FILTERS: Mapping[str, Any] = {
    "pipeline": PipelineFilter,
    "status": StatusFilter,
    "tag": TagFilter,
    "trigger": TriggerFilter,
    "error": ErrorFilter,
    "version": VersionFilter,
    "since": Since,
    "until": Until,
}
DELIVERY_FILTERS: Mapping[str, Any] = {"webhook": Webhook, "outcome": OutcomeFilter, "since": Since, "until": Until}

Again = Annotated[
    bool | None, typer.Option("--again", help="With --all: also those that were rerun, forked or replayed already.")
]

Rate = Annotated[
    int | None, typer.Option(min=1, max=1000, help="With --all: the maximum number per second; default 50.")
]
Yes = Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")]
NoFollow = Annotated[bool, typer.Option("--no-follow", help="With --all: print the bulk's id and return.")]

STEERING: Mapping[str, tuple[Any, object]] = {"rate": (Rate, None), "yes": (Yes, False), "no_follow": (NoFollow, False)}

SHARED = ("reason", "config", "data", "as_json")
"""The command's own options that also go with `--all`."""


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """A bulk as it was typed: its action, its filter as the API takes it, and how it is created and followed."""

    action: BulkAction
    filter: Mapping[str, Any]
    reason: str | None
    rate: int | None
    is_confirmed: bool
    is_followed: bool


def act_on_many(action: BulkAction) -> Callable[[Command], Command]:
    """Add `--all` with its filters to a command whose first parameter names what it acts on."""
    filters = DELIVERY_FILTERS if action == "replay" else RUN_FILTERS
    filters = {**filters, "again": Again} if action in REPEATING else filters
    plural = "deliveries" if action == "replay" else "runs"
    is_all = Annotated[
        bool, typer.Option("--all", help=f"Act on all {plural} that match the filters, after a confirmation.")
    ]

    def decorate(command: Command) -> Command:
        own = inspect.signature(command).parameters
        first, *others = own

        @wraps(command)
        def act(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in filters}
            steering = {name: given.pop(name) for name in STEERING}
            if not given.pop("all"):
                _ensure_one(first, given[first], {**chosen, **steering})
                command(**given)
                return
            alone = [name for name in others if name not in SHARED and given[name] != own[name].default]
            _ensure_all(first, given[first], alone)
            order = BulkOrder(
                action,
                _make_filter(chosen),
                given["reason"],
                steering["rate"],
                steering["yes"],
                not steering["no_follow"],
            )
            _act(order, given["config"], given["data"], as_json=given["as_json"])

        _declare(act, command, {"all": (is_all, False), **{name: (kind, None) for name, kind in filters.items()}})
        return act

    return decorate


def _declare(act: Command, command: Command, added: Mapping[str, tuple[Any, object]]) -> None:
    """Give a function the parameters of the command, of which the first is optional, and these and `STEERING`."""
    hints, keyword = get_type_hints(command, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    first, *others = inspect.signature(command).parameters.values()
    parameters = [first.replace(default=None, annotation=_make_optional(hints[first.name]), kind=keyword)]
    for name, (kind, default) in {**added, **STEERING}.items():
        parameters.append(inspect.Parameter(name, keyword, default=default, annotation=kind))
    parameters += [each.replace(annotation=hints[each.name], kind=keyword) for each in others]
    act.__dict__["__signature__"] = inspect.Signature(parameters)
    act.__annotations__ = {each.name: each.annotation for each in parameters}


def _make_optional(annotation: Any) -> Any:
    """The annotation of an argument that may be left out."""
    assert get_origin(annotation) is Annotated
    kind, *metadata = get_args(annotation)
    return Annotated[kind | None, *metadata]


def _ensure_one(first: str, named: object, more: Mapping[str, object]) -> None:
    """Raise an error unless a single thing is named, without the options of `--all`."""
    if not named:
        raise typer.BadParameter("name at least one, or use --all with filters", param_hint=f"'{first.upper()}'")
    for name, value in more.items():
        if value:
            raise typer.BadParameter("it can only be used with --all", param_hint=f"'{_name_option(name)}'")


def _ensure_all(first: str, named: object, alone: Sequence[str]) -> None:
    """Raise an error if one thing is named beside `--all`, or an option is used that only goes with one thing."""
    if named:
        raise typer.BadParameter("use it or --all, not both", param_hint=f"'{first.upper()}'")
    for name in alone:
        what = "it cannot be used with --all" + ("; `--until` bounds the time" if name == "to" else "")
        raise typer.BadParameter(what, param_hint=f"'{_name_option(name)}'")


def _name_option(name: str) -> str:
    return "--from" if name == "since" else f"--{name.replace('_', '-')}"


def _make_filter(chosen: Mapping[str, str | None]) -> dict[str, Any]:
    """The filter as the API takes it."""
    filter = {name: value for name, value in chosen.items() if name not in ("since", "until", "webhook")}
    filter["trigger"] = chosen.get("webhook") or chosen.get("trigger")
    filter["from"], filter["to"] = parse_window(chosen["since"], chosen["until"])
    parse_choice(get_args(RunStatus), chosen.get("status"), "--status")
    parse_choice(get_args(DeliveryOutcome), chosen.get("outcome"), "--outcome")
    return {name: value for name, value in filter.items() if value is not None}


# -- acting -----------------------------------------------------------------------------------------------------


def _act(order: BulkOrder, config: Path, data: Path, *, as_json: bool) -> None:
    """Preview the bulk, ask, create it, and follow it."""
    preview = ask_service(config, data, lambda service: _preview(service, order))
    if not preview.count:
        left_out = f"; {_describe_repeated(preview)}" if preview.repeated else ""
        open_console(err=True).print(
            f"there is nothing to {order.action}: no {preview.words}{left_out}", soft_wrap=True
        )
        return
    _print_preview(preview)
    if not order.is_confirmed:
        _confirm(order, preview)
    body = _make_body(order, preview)
    bulk = ask_service(config, data, lambda service: service.create_bulk(body))
    if order.is_followed:
        bulk = ask_service(config, data, lambda service: follow_bulk(service, bulk, is_quiet=as_json))
    if as_json:
        print_json(bulk)
    elif order.is_followed:
        print_bulk_end(bulk)
    else:
        typer.echo(bulk.id)


async def _preview(service: ServiceClient, order: BulkOrder) -> BulkPreviewDocument:
    filter = dict(order.filter)
    if version := filter.get("version"):
        filter["version"] = await complete_id(service, "version", version, filter.get("pipeline"))
    return await service.preview_bulk({"action": order.action, "filter": filter})


def _make_body(order: BulkOrder, preview: BulkPreviewDocument) -> dict[str, Any]:
    """The bulk as the API takes it. It acts on no more than the preview found."""
    body = {"action": order.action, "filter": {**order.filter, **_fix_bounds(preview)}, "reason": order.reason}
    more = {"rate": order.rate, "expected": preview.count if preview.exact else None}
    return body | {name: value for name, value in more.items() if value is not None}


def _fix_bounds(preview: BulkPreviewDocument) -> dict[str, Any]:
    """What the preview has made of the filter: its upper bound in time, and the whole version."""
    return {"to": preview.filter.until} | ({"version": preview.filter.version} if preview.filter.version else {})


def _print_preview(preview: BulkPreviewDocument) -> None:
    err = open_console(err=True)
    err.print(f"{preview.action} {_format_number(preview)}: {preview.words}", soft_wrap=True)
    oldest, newest = (_format_match(each) for each in (preview.oldest, preview.newest))
    left_out = _describe_repeated(preview) if preview.repeated else None
    print_fields(err, [("oldest", oldest), ("newest", newest), ("left out", left_out)])


def _describe_repeated(preview: BulkPreviewDocument) -> str:
    return f"{preview.repeated:,} that {'has' if preview.repeated == 1 else 'have'} been; `--again` includes them"


def _format_number(preview: BulkPreviewDocument) -> str:
    one, many = ("delivery", "deliveries") if preview.action == "replay" else ("run", "runs")
    return count_things(preview.count, one, many) if preview.exact else f"more than {preview.count:,} {many}"


def _format_match(match: MatchDocument | None) -> str | None:
    return f"{match.id}  {format_time(match.at)[:19]}" if match else None


def _confirm(order: BulkOrder, preview: BulkPreviewDocument) -> None:
    """Ask; raises `CommandFailed` if the answer is no, or nobody can give one."""
    if not sys.stdin.isatty():
        raise CommandFailed("nothing was done: add --yes to confirm without a terminal", WRONG_USE)
    if not typer.confirm(f"{order.action.capitalize()} {_format_number(preview)}?", err=True):
        raise CommandFailed("nothing was done")
