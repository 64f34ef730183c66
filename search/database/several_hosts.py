"""URLs of several hosts, of which libpq takes the first that suits: ``//a:5432,b:5432/name``."""

import re
from urllib.parse import parse_qs, unquote, urlencode

from objectives.errors import UserError
from search.database.passwords import redacted

_SEVERAL = re.compile(
    r"(?P<scheme>[^:/?]+://)(?P<user>[^:/?@]*(?::[^/?@]*)?@)?(?P<hosts>[^/?@]*,[^/?@]*)"
    r"(?P<database>/[^?]*)?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d*))?")


def spread_hosts(url: str) -> str:
    """Return libpq's ``//user@a:1,b:2/name`` as SQLAlchemy reads it, ``//user@/name?host=a,b&port=1,2``;
    any other URL as it is.

    Raises:
        UserError: A host cannot be read, or hosts or ports are named twice.
    """
    match = _SEVERAL.fullmatch(url)
    if match is None:
        return url
    hosts = [_HOST.fullmatch(each) for each in match["hosts"].split(",")]
    if not all(hosts):
        raise _error("each host must be like db.example, db.example:5432 or [::1]:5432", url)
    names = [each["ipv6"] or each["name"] for each in hosts if each]
    ports = [each["port"] or "" for each in hosts if each]
    asked = parse_qs(match["query"] or "")
    if "host" in asked or ("port" in asked and any(ports)):
        raise _error("hosts and ports must be named once, before the database or after the ?", url)
    if "port" in asked:
        ports = _repeated(",".join(asked["port"]).split(","), len(names))
    where = {"host": ",".join(map(unquote, names)), "port": ",".join(ports)}
    rest = [each for each in (match["query"] or "").split("&") if not each.startswith("port=")]
    query = "&".join(filter(None, [urlencode(where, safe=",:/"), *rest]))
    return f"{match['scheme']}{match['user'] or ''}{match['database'] or ''}?{query}"


def _repeated(ports: list[str], hosts: int) -> list[str]:
    """Return a port for each host: libpq takes a single one for all of them."""
    return ports * hosts if len(ports) == 1 else ports


def _error(rule: str, url: str) -> UserError:
    return UserError(f"--storage: {rule}, got {redacted(url)!r}")
