"""Alembic migrations; ship as `tracker.migrations`."""
