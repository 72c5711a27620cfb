"""`waypost connectors`: the installed connectors, the actions and connections of one, or the inputs of one action."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, TypeAlias

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from durable import __version__
from durable.action import Connector
from durable.blocks.core_actions import CORE_INPUTS
from durable.language.catalogue import explain_broken
from durable.lazy import load_module
from durable.values import JSON
from durable.wording import suggest
from triggers.commands.failure import CommandFailed
from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.problems import print_problems
from triggers.config.catalogue import CORE_NAMES, Connectors, InstalledConnector, find_connectors, load_connectors
from triggers.config.connections import Connections
from triggers.config.connector_files import ConnectorFolder
from triggers.instance import Instance

Schema: TypeAlias = Mapping[str, Any]


MANY = 50
"""The number of actions of a connector above which its list ends with a hint."""

Name = Annotated[
    str | None,
    typer.Argument(help="A connector, one of its actions, or a pattern of actions with *.", metavar="[NAME[.ACTION]]"),
]


def connectors(name: Name = None, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    if name is None and not as_json:
        print_installed(open_console(), find_connectors(), ConnectorFolder(config))
        return
    loaded = load_connectors(config)
    found = find_offers(loaded, name)
    # The journal's libraries take half a second to import, and a list of connectors needs none of them.
    secrets = load_module("triggers.reading.stored_secrets").load_secrets(Instance(config, data, os.environ))
    known = Connections(config, loaded, secrets)
    if as_json:
        print_json([offer.to_json() | {"connections": [*known.list_names(offer.connector)]} for offer in found])
    elif found[0].use == name:
        print_offer(open_console(), found[0])
    else:
        print_offers(open_console(), found)
        print_skipped(open_console(), loaded.find(name or ""))
        print_connections(open_console(), found, known)
        print_problems([known], open_console(err=True))


@dataclass(frozen=True, slots=True)
class ActionOffer:
    """An action by the name that `use:` takes, with the model of its inputs."""

    use: str
    summary: str
    input: type[BaseModel]
    on_crash: str | None = None

    @property
    def connector(self) -> str:
        return self.use.partition(".")[0]

    def list_inputs(self) -> list[dict[str, JSON]]:
        """Its inputs, each with `name type required default description`."""
        schema = self.input.model_json_schema()
        known, required = schema.get("$defs", {}), schema.get("required", ())
        return [
            {
                "name": name,
                "type": describe_type(field, known),
                "required": name in required,
                "default": field.get("default"),
                "description": field.get("description", ""),
            }
            for name, field in schema.get("properties", {}).items()
        ]

    def to_json(self) -> dict[str, JSON]:
        return {
            "use": self.use,
            "summary": self.summary,
            "on_crash": self.on_crash,
            "inputs": [dict(each) for each in self.list_inputs()],
        }


def find_offers(connectors: Connectors, wanted: str | None = None) -> list[ActionOffer]:
    """Every action, those of the connector that is `wanted`, or that one action; raises `CommandFailed`."""
    name, _, action = (wanted or "").partition(".")
    connector = connectors.find(name)
    if connector is None and name in connectors.broken:
        raise CommandFailed(explain_broken(name, connectors.broken[name]).message)
    if connector and action in connector.skipped:
        raise CommandFailed(f"the operation {wanted!r} cannot be used: {connector.skipped[action]}")
    actions = {f"{name}.{each}": made for each, made in connector.actions.items()} if connector else connectors.actions
    offered = [ActionOffer(use, each.summary, each.input, each.on_crash) for use, each in actions.items()]
    offered += [ActionOffer(use, (model.__doc__ or "").partition("\n")[0], model) for use, model in CORE_INPUTS.items()]
    found = [offer for offer in offered if wanted in (None, offer.use, offer.connector) or _matches(offer.use, wanted)]
    if not found and wanted is not None:
        hint = suggest(wanted, {*(offer.use for offer in offered), *connectors.names, *CORE_NAMES})
        raise CommandFailed(f"there is no connector or action {wanted!r}; {hint or '`waypost connectors` lists them'}")
    return found


def _matches(use: str, wanted: str | None) -> bool:
    """Whether a pattern such as `github.*issue*` matches an action."""
    return wanted is not None and "*" in wanted and fnmatchcase(use, wanted)


def print_installed(out: Console, installed: Sequence[InstalledConnector], folder: ConnectorFolder) -> None:
    """Print one line for each connector, with its package or its file."""
    rows = dict.fromkeys(sorted(CORE_NAMES), f"waypost {__version__}")
    rows |= {connector.name: ", ".join(connector.packages) for connector in installed}
    rows |= {name: f"{file.path}{'' if file.is_valid else ' (invalid)'}" for name, file in folder.files.items()}
    print_table(out, ("CONNECTOR", "FROM"), sorted(rows.items()), fold="FROM")
    out.print()
    out.print("`waypost connectors NAME` lists a connector's actions and connections.")


def print_offers(out: Console, offered: Sequence[ActionOffer]) -> None:
    """Print one line for each action."""
    print_table(out, ("ACTION", "SUMMARY"), ((offer.use, offer.summary) for offer in offered), fold="SUMMARY")
    if len(offered) > MANY and len({offer.connector for offer in offered}) == 1:
        out.print()
        name = offered[0].connector
        out.print(
            f"{len(offered):,} actions. `waypost connectors '{name}.*WORD*'` lists those with a word in their names."
        )


def print_skipped(out: Console, connector: Connector | None) -> None:
    """Print one line for each operation of a document that is not an action."""
    if connector and connector.skipped:
        out.print()
        print_table(out, ("SKIPPED", "REASON"), connector.skipped.items(), fold="REASON")


def print_connections(out: Console, offered: Sequence[ActionOffer], known: Connections) -> None:
    """Print one line for each connection of these connectors, if there are any."""
    connectors = dict.fromkeys(offer.connector for offer in offered)
    rows = [(name, connector) for connector in connectors for name in known.list_names(connector)]
    if rows:
        out.print()
        print_table(out, ("CONNECTION", "CONNECTOR"), rows, fold="CONNECTOR")


def print_offer(out: Console, offer: ActionOffer) -> None:
    """Print one action with its inputs."""
    out.print(Text.assemble((offer.use, "bold"), f"  {offer.summary}"))
    if offer.on_crash:
        out.print(f"on_crash: {offer.on_crash}, unless the step sets it")
    out.print()
    rows = (
        (str(each["name"]), str(each["type"]), _format_default(each), str(each["description"]))
        for each in offer.list_inputs()
    )
    print_table(out, ("INPUT", "TYPE", "DEFAULT", "DESCRIPTION"), rows, fold="DESCRIPTION")


def _format_default(input: Mapping[str, JSON]) -> str:
    return "required" if input["required"] else json.dumps(input["default"], ensure_ascii=False)


def describe_type(schema: Schema, known: Mapping[str, Schema]) -> str:
    """The type of a JSON Schema in a few words."""
    match schema:
        case {"$ref": str(ref)}:
            return describe_type(known[ref.rpartition("/")[2]], known)
        case {"enum": list(values)}:
            return " | ".join(json.dumps(value) for value in values)
        case {"const": value}:
            return json.dumps(value)
        case {"anyOf": list(kinds)} | {"oneOf": list(kinds)}:
            return " | ".join(dict.fromkeys(describe_type(kind, known) for kind in kinds if kind != {"type": "null"}))
        case {"type": "array", "items": dict(item)}:
            return _describe_items("list", describe_type(item, known))
        case {"type": "object", "additionalProperties": dict(item)}:
            return _describe_items("mapping", describe_type(item, known))
        case {"type": "object"}:
            return "mapping"
        case {"type": "array"}:
            return "list"
        case {"type": list(names)}:
            return " | ".join(describe_type({**schema, "type": name}, known) for name in names if name != "null")
        case {"type": str(name)}:
            return f"{name}, secret" if schema.get("secret") else name
    return "any"


def _describe_items(whole: str, part: str) -> str:
    """`list of integer`; where the parts are of many kinds, just what holds them."""
    return whole if " | " in part or part == "any" else f"{whole} of {part}"
