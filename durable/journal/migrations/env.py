"""What Alembic runs: the migrations, on the connection and in the transaction that `migrate` gives."""

from alembic import context

from durable.journal.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    transactional_ddl=True,
)
context.run_migrations()
