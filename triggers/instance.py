"""An instance of Waypost: its config folder, its data folder, its environment, and the names of its files."""

import contextlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SETTINGS_FILE = "settings.toml"
"""In the config folder."""

KEY_FILE = "api.key"
"""In the data folder: the API's key, if it was generated."""

ADDRESS_FILE = "service.json"
"""In the data folder: where the running service listens, and its process."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The folders and the environment of one service."""

    config: Path
    data: Path
    environment: Mapping[str, str]

    def find_key(self) -> str | None:
        """The API's key, found as the service finds it: in a variable, a setting, or the file that it generated."""
        if key := self.environment.get("WAYPOST_API_KEY", "").strip():
            return key
        with contextlib.suppress(OSError, ValueError):
            if chosen := tomllib.loads((self.config / SETTINGS_FILE).read_text(encoding="utf-8")).get("api_key"):
                return str(chosen)
        with contextlib.suppress(OSError, ValueError):
            return (self.data / KEY_FILE).read_text(encoding="ascii").strip()
        return None
