"""The store key of an instance: read from its setting or its file, made, and replaced in a rotation.

The key is never in the data folder: a copy of the folder would contain the values together with what decrypts them.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from durable.encrypted_store.errors import NEW_KEY, StoreError, StoreKeyFixed
from durable.encrypted_store.key_ring import KeyRing, KeyRingInvalid, StoreKey
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.sqlite.folder import flush_folder
from triggers.settings import Settings

SIZE_LIMIT = 64 * 1024
"""The maximum size, in bytes, of a store key's file."""


class StoreKeySource:
    """Where a service finds its store key: the setting `store_key`, or else the file `store_key_file`."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self._text = settings.store_key.get_secret_value() if settings.store_key else None
        self._data = data
        self.path = Path(settings.store_key_file) if settings.store_key_file and self._text is None else None
        self._has_both = self._text is not None and settings.store_key_file is not None

    def load(self) -> KeyRing:
        """Read the keys. A key that cannot be used is no error: the ring is empty, and says why."""
        if self._text is None and self.path is None:
            return KeyRing()
        name = f"the store key's file {self.path}" if self.path else "the store key in WAYPOST_STORE_KEY"
        try:
            return KeyRing.parse(self._read())
        except (KeyRingInvalid, StoreError) as error:
            return KeyRing(problem=f"{name} {error}")
        except UnicodeDecodeError:
            return KeyRing(problem=f"{name} is not text")
        except OSError as error:
            return KeyRing(problem=f"{name} cannot be read ({error.strerror})")

    def find_doubts(self) -> Iterator[str]:
        """What is doubtful about the place of the key, as whole sentences."""
        if self._has_both:
            yield "the store key is set twice: WAYPOST_STORE_KEY is used, and WAYPOST_STORE_KEY_FILE is ignored"
        with suppress(OSError):
            if self.path and stat.S_IMODE(self.path.stat().st_mode) & stat.S_IROTH:
                yield f"every user of this machine can read the store key: chmod 600 {self.path}"

    def add_key(self) -> KeyRing:
        """Put a new key before the keys of the file, which becomes the current one. Raises `StoreKeyFixed` if the key
        is no file or the file cannot be written."""
        if self.path is None:
            raise StoreKeyFixed(
                f"the store key is the variable WAYPOST_STORE_KEY, which no command can change: {NEW_KEY} makes a new "
                "key; set the variable to the new key, a space and the old one, start the service again, and repeat "
                "this command"
            )
        try:
            text = f"{StoreKey.generate().encode()}\n{self.path.read_text(encoding='ascii')}"
            _replace_file(self.path.resolve(), text)
        except OSError as error:
            raise StoreKeyFixed(
                f"the store key's file {self.path} cannot be written ({error.strerror}): {NEW_KEY} makes a new key; "
                "put it into a line of its own before the old one, and repeat this command"
            ) from None
        return self.load()

    def _read(self) -> str:
        if self.path is None:
            return self._text or ""
        if is_within(self.path, self._data):
            raise StoreError("is in the data folder, where a copy of the data would contain it: move it elsewhere")
        if self.path.exists() and not self.path.is_file():
            raise StoreError("is not a regular file")
        with self.path.open("rb") as file:
            return file.read(SIZE_LIMIT).decode("ascii")


def create_key_file(path: Path) -> StoreKey:
    """Make a store key in a new file that only its owner can read. Raises `FileExistsError` and other `OSError`."""
    key = StoreKey.generate()
    _write_new(path, f"{key.encode()}\n", 0o600)
    flush_folder(path.absolute().parent)
    return key


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path leads into a data folder: this one, or any other that has a journal."""
    place = path.resolve()
    return place.is_relative_to(folder.resolve()) or any((above / FILE_NAME).exists() for above in place.parents)


def _write_new(path: Path, text: str, mode: int) -> None:
    """Create the file with this mode, whatever the umask is, and flush it."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as writer:
        os.fchmod(file, mode)
        writer.write(text)
        writer.flush()
        os.fsync(file)


def _replace_file(path: Path, text: str) -> None:
    """Replace a file whole or not at all; it keeps its mode and its owner."""
    known = path.stat()
    new = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write_new(new, text, stat.S_IMODE(known.st_mode))
        if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, known.st_uid, known.st_gid)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    flush_folder(path.parent)
