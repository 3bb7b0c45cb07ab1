"""Which revision a store's tables have, and bringing them to this program's.

Alembic, and the scripts in `tracker.migrations`, are imported by `upgrade` and `downgrade`
only: checking costs one short query.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from sqlalchemy import Connection, Text, column, inspect, select, table

from tracker.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from tracker.masking import without_passwords
from tracker.store.schema import EARLIER, REVISION, REVISION_TABLE

_REVISION = select(column("version_num", Text)).select_from(table(REVISION_TABLE))


def revision(connection: Connection) -> str | None:
    """The revision of the tables, or None where there are none of ours."""
    if not inspect(connection).has_table(REVISION_TABLE):
        return None
    return connection.execute(_REVISION).scalar()


def check(connection: Connection, url: str) -> None:
    """Refuse tables that are not of this program's revision.

    Raises:
        SchemaMissing: There are none of ours.
        SchemaTooOld: They are of an earlier revision.
        SchemaTooNew: They are of one that this program does not know.
    """
    found = revision(connection)
    if found == REVISION:
        return
    shown = without_passwords(url)
    command = f"tracker db upgrade --store '{shown}'"
    if found is None:
        raise SchemaMissing(f"The store {shown} has no tables yet. Do: {command}")
    if found in EARLIER:
        raise SchemaTooOld(
            f"The tables of {shown} are of revision {found}; this program needs {REVISION}. "
            f"Do: {command}"
        )
    raise SchemaTooNew(
        f"The tables of {shown} are of revision {found}, which this program (revision "
        f"{REVISION}) does not know. Update it: pip install --upgrade keras-event-tracker"
    )


def upgrade(connection: Connection, target: str = "head") -> None:
    """Run the migrations up to `target`, within the caller's transaction."""
    _run("upgrade", connection, target)


def downgrade(connection: Connection, target: str) -> None:
    """Run the migrations down to `target` (`base`: nothing left), within the transaction."""
    _run("downgrade", connection, target)


def _run(command: str, connection: Connection, target: str) -> None:
    from alembic import command as commands  # 150 ms, for migrating only
    from alembic.config import Config

    with as_file(files("tracker.migrations")) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        getattr(commands, command)(config, target)
