"""Runs migrations on the connection that `tracker.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from tracker.store.schema import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    # SQLite too can undo DDL: a migration happens whole, or not at all.
    transactional_ddl=True,
)
context.run_migrations()
