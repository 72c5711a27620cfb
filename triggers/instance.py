"""Where a service is at home, and what stands there under which name."""

import contextlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SETTINGS_FILE = "settings.toml"
"""In the config folder."""

KEY_FILE = "api.key"
"""In the data folder: the API's key, where it was generated."""

ADDRESS_FILE = "service.json"
"""In the data folder: where the running service listens, and its process."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Where a service is at home: its folders and its environment."""

    config: Path
    data: Path
    environment: Mapping[str, str]

    def key(self) -> str | None:
        """The API's key, looked for as the service does: a variable, a setting, the file that it made."""
        if key := self.environment.get("WAYPOST_API_KEY", "").strip():
            return key
        with contextlib.suppress(OSError, ValueError):
            if said := tomllib.loads((self.config / SETTINGS_FILE).read_text(encoding="utf-8")).get("api_key"):
                return str(said)
        with contextlib.suppress(OSError, ValueError):
            return (self.data / KEY_FILE).read_text(encoding="ascii").strip()
        return None
