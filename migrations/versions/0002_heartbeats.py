"""When a run's writer last told that it lives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.add_column("runs", sa.Column("heartbeat_at", sa.BigInteger))


def downgrade() -> None:
    """Go back to 0001."""
    op.drop_column("runs", "heartbeat_at")
