"""The config folder that Waypost ships: examples to begin with."""

import shutil
from pathlib import Path

_PACKAGE = Path(__file__).parent


def starter() -> Path:
    """Where it stands: in the installed package, or in the checkout of an editable install."""
    packaged = _PACKAGE / "starter"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "config"


def ensure_config(config: Path, *, is_default: bool) -> Path | None:
    """Write the starter where the default config folder is missing; returns it if it was written."""
    if config.exists() or not is_default:
        return None
    shutil.copytree(starter(), config)
    return config
