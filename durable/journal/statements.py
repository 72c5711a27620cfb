"""The SQL of the write path, compiled once for a database's driver.

Core writes it over the tables; the writer executes the text on the driver's own cursor with named parameters.
"""

from collections.abc import Callable

from sqlalchemy import (
    ClauseElement,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.engine import Dialect

from durable.journal.tables import (
    api_keys,
    definitions,
    deliveries,
    entries,
    events,
    inbox,
    meta,
    payloads,
    runs,
    schedules,
    tags,
)

LATEST = 2**53
"""Milliseconds since 1970 that no run is due after: 285,000 years."""

_is_unfinished = runs.c.finished_at.is_(None)


class Statements:
    """One text a statement; `insert` is the dialect's own, for its ON CONFLICT."""

    def __init__(self, dialect: Dialect, insert: Callable[[Table], Insert]) -> None:
        def sql(statement: ClauseElement, *, columns: list[str] | None = None) -> str:
            return str(statement.compile(dialect=dialect, column_keys=columns))

        self.compile = sql
        self.insert = insert

        self.add_event = sql(insert(events))
        self.add_run = sql(insert(runs))
        self.find_last = sql(select(func.max(runs.c.nth)).where(runs.c.origin == bindparam("origin")))
        self.add_tag = sql(insert(tags).on_conflict_do_nothing())
        self.add_entries = sql(insert(entries))
        self.add_delivery = sql(insert(deliveries))
        self.add_payload = sql(insert(payloads).on_conflict_do_nothing())
        self.add_definition = sql(insert(definitions).on_conflict_do_nothing())
        self.add_message = sql(insert(inbox), columns=["run", "kind", "data", "at"])

        kept = insert(schedules)
        changing = [column.name for column in schedules.c if column.name != "id"]
        self.keep_schedule = sql(
            kept.on_conflict_do_update(index_elements=["id"], set_={name: kept.excluded[name] for name in changing})
        )
        self.forget_schedule = sql(delete(schedules).where(schedules.c.id == bindparam("schedule")))

        self.advance = sql(
            update(runs)
            .where(
                runs.c.id == bindparam("run"),
                runs.c.epoch == bindparam("of_epoch"),
                runs.c.sequence == bindparam("after"),
            )
            .values(
                {name: bindparam(name) for name in ("sequence", "status", "reason", "due_at", "finished_at")}
                | {"recoveries": runs.c.recoveries * bindparam("kept")}
            )
        )
        self.find_messages = sql(
            select(inbox.c.id, inbox.c.data)
            .where(inbox.c.run == bindparam("of"), inbox.c.kind == bindparam("of_kind"))
            .order_by(inbox.c.id)
        )
        self.take_message = sql(delete(inbox).where(inbox.c.id == bindparam("message"), inbox.c.run == bindparam("of")))
        self.empty_inbox = sql(delete(inbox).where(inbox.c.run == bindparam("of")))

        self.take_over = sql(
            update(runs)
            .where(runs.c.id == bindparam("run"), _is_unfinished)
            .values(
                epoch=runs.c.epoch + literal_column("1"),
                recoveries=runs.c.recoveries + bindparam("counted"),
                node=bindparam("owner"),
                claimed_at=bindparam("now"),
            )
        )
        self.find_fence = sql(
            select(runs.c.version, runs.c.epoch, runs.c.recoveries, runs.c.sequence, runs.c.due_at).where(
                runs.c.id == bindparam("run")
            )
        )
        of_run = entries.c.run == bindparam("run")
        last = select(func.max(entries.c.sequence)).where(of_run).scalar_subquery()
        self.find_last_append = sql(
            select(entries.c.sequence, entries.c.entries).where(of_run, entries.c.sequence == last)
        )
        self.mend_sequence = sql(
            update(runs).where(runs.c.id == bindparam("run")).values(sequence=bindparam("sequence"))
        )
        self.find_owner = sql(select(runs.c.node, runs.c.status).where(runs.c.id == bindparam("run"), _is_unfinished))
        is_owned = runs.c.node == bindparam("owner"), _is_unfinished
        self.find_owned = sql(select(runs.c.id).where(*is_owned))
        self.make_due = sql(update(runs).where(*is_owned, runs.c.id == bindparam("run")).values(due_at=bindparam("at")))
        self.pause = sql(
            update(runs)
            .where(*is_owned, runs.c.id == bindparam("run"))
            .values(status=literal_column("'paused'"), reason=bindparam("why"))
        )
        self.bring_forward = sql(
            update(runs).where(runs.c.node.is_(None), _is_unfinished).values(due_at=runs.c.due_at - bindparam("by"))
        )
        # What is no number, or none that a clock can come to, is more than this or NULL; no run would ever be due.
        self.mend_due_times = sql(
            update(runs)
            .where(_is_unfinished, or_(runs.c.due_at.is_(None), runs.c.due_at > literal_column(str(LATEST))))
            .values(due_at=literal_column("0"))
        )
        let_go = update(runs).where(*is_owned).values(node=literal_column("NULL"))
        self.release_all = sql(let_go)
        self.release = sql(let_go.where(runs.c.id == bindparam("run")))
        self.find_unfinished = sql(select(runs.c.id).where(runs.c.id == bindparam("run"), _is_unfinished))

        self.add_key = sql(insert(api_keys))
        self.revoke_key = sql(
            update(api_keys)
            .where(api_keys.c.id == bindparam("key"), api_keys.c.revoked_at.is_(None))
            .values(revoked_at=bindparam("at"))
        )

        probe = insert(meta)
        self.probe = sql(probe.on_conflict_do_update(index_elements=["name"], set_={"value": probe.excluded.value}))
