"""Who may ask the dashboard anything: those who call it by a name of its own, and no other site's
page.

Pure WSGI: it knows neither database nor routes. What may be asked is in
``search/dashboard/routes.py``. A login, once there is one, belongs between the two: it needs the
checks here, and says who may use which of the lists there.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from objectives.errors import UserError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

READING = ("GET", "HEAD")
HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
)
SANDBOX = ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?")
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


def gate(
    app: "WSGIApplication", names: frozenset[str], open_to_all: frozenset[str]
) -> "WSGIApplication":
    """Return ``app`` behind the checks of who asks, every answer with the headers that a browser
    needs.

    ``names``: what the server may be called besides this machine's loopback names, as
    ``parse_names`` returns them. A page of another site that has its name resolved to this address
    (DNS rebinding) sends that name, and is refused. Paths in ``open_to_all`` may be read under any
    name: health checks.
    """

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start = _with_headers(start_response)
        reads_open = environ["REQUEST_METHOD"] in READING and environ["PATH_INFO"] in open_to_all
        status, reason = (HTTPStatus.OK, "") if reads_open else _refusal(environ, names)
        return refuse(environ, start, status, reason) if reason else app(environ, start)

    return guarded


def answer(
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    status: HTTPStatus,
    text: str,
    kind: str = "text/plain; charset=utf-8",
) -> Iterable[bytes]:
    """Answer with one line; a HEAD gets its length alone."""
    body = f"{text}\n".encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def refuse(
    environ: "WSGIEnvironment", start_response: "StartResponse", status: HTTPStatus, why: str
) -> Iterable[bytes]:
    """Answer in the form in which the dashboard's page reads why something was refused."""
    return answer(environ, start_response, status, json.dumps({"reason": why}), "application/json")


def parse_names(texts: Iterable[str]) -> frozenset[str]:
    """Return names and addresses of hosts in the one spelling that requests are compared in;
    several may share a text.

    Raises:
        UserError: One is neither a name nor an address, such as a URL, a name with a port, or a
            pattern.
    """
    return frozenset(
        _parse_name(word) for text in texts for word in re.split(r"[,\s]+", text) if word
    )


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address, spelt as ``spell`` does, is this machine alone."""
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def spell(name: str) -> str:
    """Return a host's name or address in one spelling: small letters, no last dot, the short form
    of an address.
    """
    bare = name.lower().removesuffix(".")
    address = _address(bare.partition("%")[0])
    return bare if address is None else str(getattr(address, "ipv4_mapped", None) or address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _parse_name(word: str) -> str:
    try:
        name = spell(word.removeprefix("[").removesuffix("]").encode("idna").decode())
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name) and _address(name) is None:
        raise UserError(
            f"--allowed-host must be a name or an address, without scheme and port, got {word!r}"
        )
    return name


def _refusal(environ: "WSGIEnvironment", names: frozenset[str]) -> tuple[HTTPStatus, str]:
    """Return why a request is refused; no reason for one that may pass."""
    # a whole URL names a host of its own, which nobody checks
    if not environ.get("REQUEST_URI", "/").startswith("/"):
        return HTTPStatus.BAD_REQUEST, "the request must name a path: this is no proxy"
    header = environ.get("HTTP_HOST", "")
    match = _HOST.fullmatch(header)
    if not match:  # none, two of them, or no host at all
        return HTTPStatus.BAD_REQUEST, "the request must have one Host header that names a host"
    name = spell(match["v6"] or match["name"])
    if not (is_loopback(name) or name in names):
        return HTTPStatus.FORBIDDEN, (
            f"this dashboard is not known as {name}: if that is its name, "
            f"start it with --allowed-host {name}, or with SEARCH_ALLOWED_HOSTS={name}"
        )
    if environ["REQUEST_METHOD"] not in READING and not _is_own(environ, header):
        return HTTPStatus.FORBIDDEN, "another site's page may not change anything here"
    return HTTPStatus.OK, ""


def _is_own(environ: "WSGIEnvironment", host: str) -> bool:
    """Return whether a write comes from our own page, or from no page at all.

    A browser says with each write whose page sends it: in Sec-Fetch-Site where it trusts the
    connection, else in Origin. What says neither is a program, which acts in nobody's name but its
    own; it is as free as whoever runs it.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site == "same-origin")
    origin = environ.get("HTTP_ORIGIN")
    return origin is None or origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def _with_headers(start_response: "StartResponse") -> "StartResponse":
    """Return ``start_response`` with our headers.

    What brings no policy of its own, as the dashboard's page does, is nothing that scripts should
    run in: an artifact has the type that its uploader chose. Nothing here is for other sites. A
    redirect stays here, whatever a proxy calls this place.
    """

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
        own = {name.lower() for name, _ in headers}
        kept = [
            (name, value)
            for name, value in headers
            if name.lower() not in ("access-control-allow-origin", "location")
        ]
        places = [(name, _path_of(value)) for name, value in headers if name.lower() == "location"]
        policy = [] if "content-security-policy" in own else [SANDBOX]
        return start_response(status, [*kept, *places, *policy, *HEADERS], *rest)

    return start


def _path_of(url: str) -> str:
    return urlsplit(url)._replace(scheme="", netloc="").geturl()
