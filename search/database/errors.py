"""What a database refuses, in one line that says what to do."""

import re

from sqlalchemy.exc import DBAPIError

from objectives.errors import SearchError, UserError, WorldError, first_line
from search.database.passwords import redacted

# by the server's code, which is the same in every language
RIGHTS = "42501"
CODES: dict[str, tuple[type[SearchError], str]] = {
    RIGHTS: (
        UserError,
        "have its owner grant the right; `search doctor --storage` names all that lack",
    ),
    "25006": (
        WorldError,
        "it is read-only, a standby for example: name the one that can be written",
    ),
    "3F000": (UserError, "make a schema that the user may use, or set its search_path"),
    "42703": (
        UserError,
        "its tables are another version's: run `search upgrade`, or the program that upgraded them",
    ),
    "42883": (UserError, "a PostgreSQL server of version 12 or later is needed"),
    "0A000": (
        UserError,
        "a PostgreSQL server of version 12 or later is needed, and of PgBouncer transaction or "
        "session mode",
    ),
    "22P05": (UserError, "use a database whose encoding is UTF8"),
    "22021": (UserError, "use a database whose encoding is UTF8"),
    "57014": (
        WorldError,
        "its user has a statement_timeout or a lock_timeout: take it away with ALTER ROLE ... SET",
    ),
    "55P03": (WorldError, "its user has a lock_timeout: take it away with ALTER ROLE ... SET"),
    "53100": (WorldError, "its disk is full: make room"),
    "53300": (
        WorldError,
        "it takes no further connection: stop workers, raise max_connections, or use PgBouncer",
    ),
}

# a connection that is refused has no code here, only words, which a server may say in another
# language
WORDS = {
    r"password authentication failed|no password "
    r"supplied": "give the right user and password in --storage",
    r'role ".*" does not exist': "give a user that the server knows in --storage",
    r'database ".*" does not exist': "make it with `createdb`, or name another in --storage",
    r"too many (connections|clients)|connection slots are reserved|no more connections": CODES[
        "53300"
    ][1],
    r"permission denied for database": "have its owner grant CONNECT",
    r"no pg_hba.conf entry": "the server's pg_hba.conf lets this user and host not in",
    r"unsupported startup parameter": "take the options out of --storage: the pooler allows none",
}


def explained(error: DBAPIError, url: str) -> SearchError | None:
    """Return the error of our tree that says what the database at ``url`` refused; None for what is
    our own mistake.
    """
    reason = first_line(error.orig or error)
    explanation = CODES.get(getattr(error.orig, "pgcode", None) or "")
    if explanation is None:
        remedy = next((do for words, do in WORDS.items() if re.search(words, reason)), "")
        return WorldError(_line(url, reason, remedy)) if remedy else None
    kind, remedy = explanation
    return kind(_line(url, reason, remedy))


def _line(url: str, reason: str, remedy: str) -> str:
    return f"the database {redacted(url)} cannot be used: {reason}; {remedy}"
