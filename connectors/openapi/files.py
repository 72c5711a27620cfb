"""Reads the documents that connector files refer to. A document that did not change is not read twice while a connector
uses it."""

import hashlib
from pathlib import Path
from weakref import WeakValueDictionary

from connectors.openapi.document import SIZE_LIMIT, DocumentRefused, ImportedDocument, read_document
from durable.wording import find_nearest, quote

_known: WeakValueDictionary[bytes, ImportedDocument] = WeakValueDictionary()
"""The documents in use, by the SHA-256 of their files."""


def locate_document(file: str, name: str) -> Path:
    """Return the path of a document that a connector's file names."""
    return Path(file).parent / name


def open_document(path: Path, name: str) -> ImportedDocument:
    """Read the document at a path, which a connector's file calls `name`. Raises `DocumentRefused`."""
    data = _read_bytes(path, name)
    digest = hashlib.sha256(data).digest()
    document = _known.get(digest)
    if document is None:
        document = _known[digest] = read_document(data)
    return document


def _read_bytes(path: Path, name: str) -> bytes:
    if "://" in name:
        raise DocumentRefused("documents are not fetched", "download it, and write the path of the file")
    try:
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                return file.read(SIZE_LIMIT + 1)
        if path.is_dir():
            raise DocumentRefused(f"{quote(name)} is a folder", "write the path of the document")
        if path.exists():
            raise DocumentRefused(f"{quote(name)} is not a file", "write the path of the document")
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError) as error:
        if isinstance(error, DocumentRefused):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DocumentRefused(f"the document {quote(name)} cannot be read: {reason}") from None
    meant = find_nearest(path.name, beside)
    hint = f"did you mean {quote(meant)}" if meant else "paths are relative to the folder of this file"
    raise DocumentRefused(f"there is no document {quote(name)}", hint)
