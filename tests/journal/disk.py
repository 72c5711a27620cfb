"""Simulate a full disk without a separate file system: SQLite may add no page to its file and reports a full disk.

What fits into the existing pages can still be written, so tests write values of many pages.
"""

from durable.journal.dialect import Cursor
from durable.journal.journal import Journal

MOST_PAGES = 2**32 - 2


async def fill_disk(journal: Journal) -> None:
    """Limit the database to the pages that it has now."""
    await _set_page_limit(journal, 1)


async def clear_disk(journal: Journal) -> None:
    """Make room again."""
    await _set_page_limit(journal, MOST_PAGES)


async def _set_page_limit(journal: Journal, pages: int) -> None:
    def unit(cursor: Cursor) -> None:
        cursor.execute(f"PRAGMA max_page_count={pages}", {})  # existing pages are never removed

    await journal._writer.submit(unit)
