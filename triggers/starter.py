"""The config folder that ships with Waypost: examples to begin with."""

import shutil
from pathlib import Path

_PACKAGE = Path(__file__).parent


def find_starter() -> Path:
    """The path of the folder: in the installed package, or in the checkout of an editable install."""
    packaged = _PACKAGE / "starter"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "config"


def write_starter(config: Path) -> list[Path]:
    """Copy the folder and return the files; raises `FileExistsError` if the destination is not empty."""
    if config.exists() and (not config.is_dir() or any(config.iterdir())):
        raise FileExistsError(config)
    shutil.copytree(find_starter(), config, copy_function=shutil.copyfile, dirs_exist_ok=True)  # with rights of its own
    return sorted(path for path in config.rglob("*") if path.is_file())
