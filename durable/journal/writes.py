"""The write operations of all nouns: statements and functions of a database, compiled once per node."""

from durable.journal.audit import AuditWrites
from durable.journal.bulks import BulkWrites
from durable.journal.concurrency import ConcurrencyLimits
from durable.journal.dedupe import DedupeKeys
from durable.journal.definitions import DefinitionWrites
from durable.journal.deliveries import DeliveryWrites
from durable.journal.dialect import SQL
from durable.journal.events import EventWrites
from durable.journal.feed import Feed
from durable.journal.histories import HistoryWrites
from durable.journal.inbox import InboxWrites
from durable.journal.keys import ApiKeyWrites
from durable.journal.meta import MetaWrites
from durable.journal.ownership import OwnershipWrites
from durable.journal.payloads import PayloadWrites
from durable.journal.reopening import ReopeningWrites
from durable.journal.retention import RetentionWrites
from durable.journal.runs import RunWrites
from durable.journal.schedules import ScheduleWrites
from durable.journal.sealed_values import SealedValueWrites
from durable.journal.sessions import SessionWrites
from durable.journal.side_effects import SideEffectWrites
from durable.journal.subscriptions import EventSubscriptions
from durable.journal.trace_exports import TraceExportWrites
from durable.journal.unknown_paths import UnknownPathWrites


class Writes:
    """The nouns of a journal, as one node writes them."""

    def __init__(self, sql: SQL, node: str, feed: Feed) -> None:
        self.node = node
        self.feed = feed
        self.meta = MetaWrites(sql)
        self.sessions = SessionWrites(sql)
        self.keys = ApiKeyWrites(sql, self.sessions)
        self.audit = AuditWrites(sql, feed)
        self.sealed_values = SealedValueWrites(sql)
        self.unknown_paths = UnknownPathWrites(sql)
        self.schedules = ScheduleWrites(sql, feed)
        self.bulks = BulkWrites(sql, feed)
        self.definitions = DefinitionWrites(sql)
        self.payloads = PayloadWrites(sql)
        self.events = EventWrites(sql)
        self.deliveries = DeliveryWrites(sql, feed)
        self.runs = RunWrites(sql)
        self.histories = HistoryWrites(sql)
        self.ownership = OwnershipWrites(sql, node, self.histories, feed)
        self.inboxes = InboxWrites(sql, self.runs, self.payloads, feed)
        self.dedupe_keys = DedupeKeys(sql, self.runs)
        self.retention = RetentionWrites(sql, self.payloads, self.dedupe_keys, feed)
        self.subscriptions = EventSubscriptions(sql, self.dedupe_keys, self.inboxes)
        self.trace_exports = TraceExportWrites(sql)
        self.limits = ConcurrencyLimits(sql, self.inboxes)
        self.reopening = ReopeningWrites(sql, self.runs, self.inboxes, self.dedupe_keys)
        self.side_effects = SideEffectWrites(
            self.inboxes, self.dedupe_keys, self.subscriptions, self.limits, self.reopening
        )
