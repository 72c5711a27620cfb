"""`waypost connectors`: list the connectors."""

from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, AsJson, Config
from triggers.config.catalogue import load_connectors
from triggers.config.describe_connector import list_connectors


def connectors(config: Config = CONFIG, as_json: AsJson = False) -> None:
    found = list_connectors(load_connectors(config))
    if as_json:
        print_json(found)
        return
    out = open_console()
    rows = [(each.name, f"{each.origin}{'' if each.is_valid else ' (invalid)'}") for each in found]
    print_table(out, ("CONNECTOR", "FROM"), rows, fold="FROM")
    out.print()
    out.print("`waypost connector show NAME` describes a connector, and `NAME.ACTION` one of its actions.")
