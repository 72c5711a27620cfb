"""The command line. Imports that cost time stand inside the commands that need them.

Exit codes: 0 fine, 1 failed, 2 wrong use, 3 not ready (another process holds the data folder, the address is taken).
"""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from durable import __version__

if TYPE_CHECKING:
    from triggers.settings import Settings

FAILED, NOT_READY = 1, 3

app = typer.Typer(
    name="waypost",
    help="Webhook automation whose every step survives kill -9.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[Path, typer.Option("--config", envvar="WAYPOST_CONFIG", help="The config folder.")]
Data = Annotated[Path, typer.Option("--data", envvar="WAYPOST_DATA", help="The data folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CONFIG, DATA = Path("config"), Path(".waypost")


def main() -> None:
    """The `waypost` command."""
    app()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"waypost {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def serve(
    config: Config = CONFIG,
    data: Data = DATA,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; default 8400.")] = None,
) -> None:
    """Start the service and serve until SIGTERM or Ctrl-C."""
    from durable.journal import JournalError
    from triggers import logs
    from triggers.announce import announce
    from triggers.service import serve as serve_service
    from triggers.starter import ensure_config

    if wrote := ensure_config(config, is_default=config == CONFIG):
        typer.echo(f"There was no config folder: wrote one to {wrote}")
    settings = _settings(config, host=host, port=port)
    try:
        _run(serve_service(settings, config, data, os.environ, announce=announce))
    except JournalError as error:
        _fail(str(error), NOT_READY)
    except OSError as error:
        _fail(f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}", NOT_READY)
    finally:
        logs.flush()


@app.command()
def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only of this pipeline.")] = None,
    status: Annotated[str | None, typer.Option(help="Only with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from triggers.announce import print_runs
    from triggers.reading import reading

    async def ask() -> list[dict[str, Any]]:
        async with reading(data, os.environ.get("WAYPOST_API_KEY")) as source:
            return await source.runs(pipeline=pipeline, status=status, limit=limit)

    found = _ask(ask())
    _print_json(found) if as_json else print_runs(found)


@app.command()
def show(run: str, data: Data = DATA, as_json: AsJson = False) -> None:
    """Tell one run: its steps, attempts, times, inputs, outputs, errors and history."""
    from triggers.announce import print_run
    from triggers.reading import reading

    async def ask() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with reading(data, os.environ.get("WAYPOST_API_KEY")) as source:
            return await source.tell(run), await source.history(run)

    told, history = _ask(ask())
    _print_json(told | {"history": history}) if as_json else print_run(told, history)


@app.command()
def cancel(
    run: str, reason: Annotated[str | None, typer.Option(help="Why, for those who read it.")] = None, data: Data = DATA
) -> None:
    """Ask a run to end."""
    from triggers.reading import service

    async def ask() -> dict[str, Any] | None:
        async with service(data, os.environ.get("WAYPOST_API_KEY")) as running:
            return await running.cancel(run, reason) if running else None

    answer = _ask(ask())
    if answer is None:
        _fail(f"no service works on {data}: start it with `waypost serve`, or name its folder with --data", NOT_READY)
    typer.echo(f"{run} is {answer['status']}")


@app.command()
def validate(config: Config = CONFIG) -> None:
    """Check the pipelines of the config folder without running anything."""
    from durable.secrets import Secrets
    from triggers.announce import print_problems
    from triggers.folder import Folder
    from triggers.service import actions

    if not (config / "pipelines").is_dir():
        _fail(f"there is no folder {config / 'pipelines'}: name the config folder with --config", 2)
    folder = Folder(config, actions(), Secrets(os.environ))
    print_problems(folder)
    invalid = sum(not file.is_valid for file in folder.files)
    typer.echo(f"{len(folder.files) - invalid} of {len(folder.files)} pipelines are valid")
    if invalid:
        raise typer.Exit(FAILED)


def _settings(config: Path, **options: Any) -> "Settings":
    from triggers.settings import Settings, SettingsError

    try:
        given = {name: value for name, value in options.items() if value is not None}
        return Settings.load(config, os.environ, given)
    except SettingsError as error:
        _fail(str(error), 2)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run the service's loop, on uvloop where it is installed."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


def _ask(work: Coroutine[Any, Any, Any]) -> Any:
    """What a question is answered with; its failure is a message and an exit code."""
    import httpx

    from durable.journal import JournalError
    from triggers.reading import Refused
    from triggers.runs import RunMissing

    try:
        return asyncio.run(work)
    except RunMissing as missing:
        _fail(f"{missing}; `waypost runs` lists them", FAILED)
    except Refused as refused:
        _fail(str(refused), FAILED)
    except (JournalError, httpx.TransportError) as error:
        _fail(str(error), NOT_READY)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"waypost: {message}", err=True)
    raise typer.Exit(code)
