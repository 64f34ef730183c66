"""Every route of the installed optuna-dashboard is in one list, and what no list opens is
closed.
"""

import io
import json
from collections.abc import Iterable
from typing import Any

import optuna_dashboard
import pytest
from bottle import Bottle
from optuna.storages import InMemoryStorage

from search.dashboard.routes import MOST_BYTES, READS, REFUSED, WRITES, guard

NOTE = {"version": 1, "body": "good"}


def test_every_route_of_the_installed_version_is_in_exactly_one_list() -> None:
    """After an upgrade: decide who may use a new route before anybody can."""
    app = optuna_dashboard.wsgi(InMemoryStorage(), artifact_store=None)
    lists = (READS, frozenset(WRITES), frozenset(REFUSED))
    assert {(route.method, route.rule) for route in app.routes} == frozenset().union(*lists)
    assert sum(map(len, lists)) == len(frozenset().union(*lists))
    assert {method for method, _ in READS} == {"GET"}


@pytest.fixture
def app() -> Bottle:
    """An app with the routes that may be written, one that is known and closed, and one that nobody
    has heard of.
    """
    app = Bottle()
    for method, rule in [
        *WRITES,
        ("DELETE", "/api/studies/<study_id:int>"),
        ("GET", "/new"),
        ("POST", "/new"),
        ("GET", "/api/meta"),
    ]:
        app.route(rule, method, lambda **place: {"done": True, **place})
    guard(app)
    return app


def ask(
    app: Bottle,
    method: str,
    path: str,
    body: Any = b"",
    kind: str = "application/json",
    **headers: str,
) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": io.StringIO(),
        **headers,
    }
    answer: Iterable[bytes] = app(environ, lambda status, headers, error=None: told.append(status))
    lines = b"".join(answer).decode().splitlines()
    assert len(lines) <= 1
    return int(told[0].split()[0]), json.loads(lines[0]) if lines else None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/meta", 200),
        ("HEAD", "/api/meta", 200),
        ("GET", "/new", 403),
        ("HEAD", "/new", 403),
        ("POST", "/new", 403),
        ("DELETE", "/api/studies/1", 403),
        ("DELETE", "/api/studies/-1", 403),
        ("DELETE", "//api/studies/1", 404),
        ("DELETE", "/api/studies/1/", 404),
        ("DELETE", "/api/../api/studies/1", 404),
        ("DELETE", "/api/studies/1;x=y", 404),
        # as Python's $ has it: what the app takes for the route, the list does too
        ("DELETE", "/api/studies/1\n", 403),
        ("POST", "/api/studies/1", 405),
        ("OPTIONS", "/api/studies/1", 405),
        ("PATCH", "/api/meta", 405),
        ("ANY", "/api/studies/1", 405),
        ("PROXY", "/api/studies/1", 405),
        ("GET", "/elsewhere", 404),
    ],
)
def test_what_no_list_opens_is_closed(app: Bottle, method: str, path: str, status: int) -> None:
    assert ask(app, method, path)[0] == status


def test_no_header_makes_another_method_of_one(app: Bottle) -> None:
    override = {
        f"HTTP_X_{name}": "DELETE"
        for name in ("HTTP_METHOD_OVERRIDE", "HTTP_METHOD", "METHOD_OVERRIDE")
    }
    assert ask(app, "POST", "/api/meta", **override)[0] == 405
    assert ask(app, "GET", "/api/meta", **override) == (200, {"done": True})


@pytest.mark.parametrize("path", ["/api/studies/1/note", "/api/studies/1/2/note"])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (NOTE, "application/json", 200),
        (NOTE, "Application/JSON; charset=utf-8", 200),
        (NOTE, "text/plain", 415),
        (NOTE, "", 415),
        (NOTE, "application/json-rpc", 415),
        (NOTE, "application/x-www-form-urlencoded", 415),
        ({"version": 1, "body": "x" * MOST_BYTES}, "application/json", 413),
        ({"version": "1", "body": "x"}, "application/json", 400),
        ({"version": True, "body": "x"}, "application/json", 400),
        ({"version": 1, "body": ["x"]}, "application/json", 400),
        ({"version": 1}, "application/json", 400),
        ([NOTE], "application/json", 400),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"version": ' + b"1" * 5000 + b', "body": ""}', "application/json", 400),
    ],
)
def test_a_note_is_written_only_as_one(
    app: Bottle, path: str, body: Any, kind: str, status: int
) -> None:
    got, answer = ask(app, "PUT", path, body, kind)
    assert got == status
    assert status == 200 or answer["reason"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"state": "Fail"}, 200),
        ({"state": "FAIL", "values": [1]}, 200),
        ({"state": "Complete", "values": [1]}, 400),
        ({"state": "Pruned"}, 400),
        ({"state": ["Fail"]}, 400),
        ({}, 400),
        (b'{"state": "Fail", "state": "Complete", "values": [1]}', 400),
        # the last one is what the app reads, too
        (b'{"state": "Complete", "state": "Fail", "values": [1]}', 200),
    ],
)
def test_a_trial_is_only_told_as_failed(app: Bottle, body: Any, status: int) -> None:
    got, answer = ask(app, "POST", "/api/trials/3/tell", body)
    assert got == status
    assert answer == {"done": True, "trial_id": 3} or answer["reason"].startswith(
        "a trial can only be ended as Fail here"
    )
