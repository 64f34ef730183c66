"""What a study needs of a database, asked without leaving anything there."""

from collections.abc import Iterator

from optuna.storages._rdb.models import BaseModel
from sqlalchemy import Connection, text

from objectives.errors import UserError
from search.database.tables import METADATA

LEAST_SERVER = 12
SHORTEST_S = 30  # of a limit on statements: some wait for the locks of others
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

SERVER = text("""
    SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('server_encoding') AS encoding,
        pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
        current_user AS name, current_schema() AS schema,
        COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS creates
""")

LIMITS = text("""
    SELECT name, setting::float / 1000 AS seconds FROM pg_settings
    WHERE name IN ('statement_timeout', 'lock_timeout') AND setting::int BETWEEN 1 AND :shortest_ms ORDER BY name
""")

TABLES = text("""
    SELECT name, found IS NOT NULL AS there,
        array(SELECT held FROM unnest(:rights) AS held WHERE NOT has_table_privilege(found, held)) AS lacks,
        (SELECT count(*) FROM pg_attribute
            WHERE attrelid = found AND attnum > 0 AND NOT attisdropped
            AND NOT has_sequence_privilege(pg_get_serial_sequence(quote_ident(name), attname), 'USAGE')) > 0 AS counts_not
    FROM (SELECT name, to_regclass(quote_ident(name)) AS found FROM unnest(:names) AS name) AS asked ORDER BY name
""")


def refuse_unfit(connection: Connection) -> None:
    """Refuse a database in which no study can live.

    Raises:
        UserError: With everything that it lacks, in one line, and what to do.
    """
    if lacks := [*_server(connection), *_limits(connection), *_tables(connection)]:
        raise UserError("the database cannot hold a study: " + "; ".join(lacks))


def _server(connection: Connection) -> Iterator[str]:
    server = connection.execute(SERVER).one()
    if server.version < LEAST_SERVER:
        yield f"it is PostgreSQL {server.version}, use {LEAST_SERVER} or later"
    if server.encoding != "UTF8":
        yield (
            f"its encoding is {server.encoding}, make one with CREATE DATABASE ... ENCODING "
            f"'UTF8' TEMPLATE template0"
        )
    if server.read_only:
        yield f"it is read-only for user {server.name}, name the server that can be written"


def _limits(connection: Connection) -> Iterator[str]:
    for limit in connection.execute(LIMITS, {"shortest_ms": 1000 * SHORTEST_S}):
        yield (
            f"its {limit.name} ends what waits for {limit.seconds:g} s, give the user {SHORTEST_S} "
            f"s or none "
            f"(ALTER ROLE ... SET {limit.name} = 0)"
        )


def _tables(connection: Connection) -> Iterator[str]:
    """Missing tables need the right to make them; those that are there, the right to write them."""
    server = connection.execute(SERVER).one()
    names = sorted([*METADATA.tables, *BaseModel.metadata.tables, "alembic_version"])
    tables = connection.execute(TABLES, {"names": names, "rights": list(RIGHTS)}).all()
    user = _quoted(connection, server.name)
    schema = _quoted(connection, server.schema or "public")
    if not server.creates and not all(table.there for table in tables):
        rights = "CREATE" if server.schema else "USAGE, CREATE"
        yield (
            f"user {server.name} may not make tables (GRANT {rights} ON SCHEMA {schema} TO {user})"
        )
    if closed := [table.name for table in tables if table.there and table.lacks]:
        rights = ", ".join(RIGHTS)
        yield (
            f"user {server.name} may not read and write {len(closed)} tables, {closed[0]} for one "
            f"(GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {user})"
        )
    if any(table.there and table.counts_not for table in tables):
        yield (
            f"user {server.name} may not number rows (GRANT USAGE ON ALL SEQUENCES IN SCHEMA "
            f"{schema} TO {user})"
        )


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
