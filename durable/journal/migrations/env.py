"""The Alembic environment: runs migrations on the connection, and in the transaction, of `migrate`."""

from alembic import context

from durable.journal.tables import TableRow

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TableRow.metadata,
    transactional_ddl=True,
)
context.run_migrations()
