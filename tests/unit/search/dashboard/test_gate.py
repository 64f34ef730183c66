"""Who may ask: by which names, from which pages, and the headers of every answer."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from objectives.errors import UserError
from search.dashboard.gate import gate, parse_names

OWN = frozenset({"dash.example", "192.168.1.5", "2001:db8::1"})
ALLOWED = [
    "localhost", "localhost:8080", "LOCALHOST:1", "localhost.", "127.0.0.1:8080", "127.8.9.10", "[::1]", "[::1]:8080",
    "[0:0:0:0:0:0:0:1]:8080", "[::ffff:127.0.0.1]:80", "dash.example", "Dash.Example.:443", "192.168.1.5:8080",
    "[2001:DB8:0::1]:9",
]  # fmt: skip
FOREIGN = [
    "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "0.0.0.0:8080",
    "[::]", "192.168.1.6", "dash.example.evil", "127.1", "2130706433", "0x7f000001", "foo.localhost", "localhost..",
    "127.0.0.1..", "127.000.000.001",
]  # fmt: skip
BROKEN = [
    "", " ", "localhost, "
             "evil.example", "localhost,localhost", "user@localhost", "localhost:80:80", "localhost:port", "[::1",
    "::1", "[localhost]x", "localhost/evil", "localhost\x00", "localhost:99999999", "loc\u00e4lhost", "evil.example#localhost",
    "localhost:\u00b2", "localhost\n",
]  # fmt: skip


def asked(**environ: str) -> tuple[int, dict[str, list[str]], bytes]:
    """The status, headers and body of an answer by the gate before an app that says yes to all."""
    told: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = [
            ("Access-Control-Allow-Origin", "*"),
            ("Location", "http://evil.example/dashboard?a=b"),
        ]
        policy = (
            [("Content-Security-Policy", "default-src 'self'")]
            if environ["PATH_INFO"] == "/dashboard"
            else []
        )
        start_response("200 OK", [*headers, *policy])
        return [b"yes"]

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        told.extend((status, headers))

    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "localhost"} | environ
    request.setdefault("REQUEST_URI", request["PATH_INFO"])
    if request["HTTP_HOST"] == "absent":
        del request["HTTP_HOST"]
    body = b"".join(gate(app, OWN, frozenset({"/health"}))(request, start_response))  # type: ignore[arg-type]
    status, headers = told
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name, []).append(value)
    return int(status.split()[0]), by_name, body


@pytest.mark.parametrize("host", ALLOWED)
def test_its_own_names_pass(host: str) -> None:
    assert asked(HTTP_HOST=host)[0] == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_another_name_is_refused_and_told_the_option(host: str) -> None:
    status, _, body = asked(HTTP_HOST=host)
    assert status == 403
    assert "--allowed-host" in json.loads(body)["reason"]
    assert body.count(b"\n") == 1


@pytest.mark.parametrize("host", [*BROKEN, "absent"])
def test_what_is_no_host_is_refused(host: str) -> None:
    assert asked(HTTP_HOST=host)[0] == 400


@pytest.mark.parametrize(
    "target", ["http://localhost/", "http://evil.example/", "*", "localhost:80"]
)
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    assert asked(REQUEST_URI=target)[0] == 400


def test_health_may_be_read_by_any_name_and_nothing_else() -> None:
    assert asked(PATH_INFO="/health", HTTP_HOST="10.0.0.7:8080")[0] == 200
    assert asked(PATH_INFO="/health", HTTP_HOST="absent")[0] == 200
    assert asked(PATH_INFO="/health", HTTP_HOST="evil.example", REQUEST_METHOD="POST")[0] == 403
    assert asked(PATH_INFO="/health/../api/studies", HTTP_HOST="evil.example")[0] == 403


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),  # a program
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://behind.a.proxy"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "http://localhost:8080"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "none"}, False),
        ({"HTTP_SEC_FETCH_SITE": ""}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-origin, cross-site"}, False),
        ({"HTTP_ORIGIN": "http://localhost:8080"}, True),
        ({"HTTP_ORIGIN": "HTTPS://LOCALHOST:8080"}, True),
        ({"HTTP_ORIGIN": "http://localhost:3000"}, False),
        ({"HTTP_ORIGIN": "http://localhost"}, False),
        ({"HTTP_ORIGIN": "http://evil.example"}, False),
        ({"HTTP_ORIGIN": "http://localhost:8080.evil.example"}, False),
        ({"HTTP_ORIGIN": "http://localhost:8080@evil.example"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_ORIGIN": ""}, False),
        ({"HTTP_ORIGIN": "file://localhost:8080"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "BREW"])
def test_only_its_own_page_and_programs_may_write(
    headers: dict[str, str], passes: bool, method: str
) -> None:
    assert asked(REQUEST_METHOD=method, HTTP_HOST="localhost:8080", **headers)[0] == (
        200 if passes else 403
    )


def test_every_answer_has_the_headers() -> None:
    for environ in (
        {},
        {"PATH_INFO": "/dashboard"},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "absent"},
        {"PATH_INFO": "/health"},
    ):
        _, headers, _ = asked(**environ)
        assert headers["X-Frame-Options"] == ["DENY"]
        assert headers["X-Content-Type-Options"] == ["nosniff"]
        assert headers["Referrer-Policy"] == ["no-referrer"]
        assert headers["Cross-Origin-Resource-Policy"] == ["same-origin"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


def test_only_what_brings_a_policy_may_run_scripts() -> None:
    assert not any(
        "sandbox" in policy
        for policy in asked(PATH_INFO="/dashboard")[1]["Content-Security-Policy"]
    )
    assert any(
        "sandbox" in policy
        for policy in asked(PATH_INFO="/artifacts/1/2")[1]["Content-Security-Policy"]
    )


def test_a_redirect_stays_here() -> None:
    assert asked()[1]["Location"] == ["/dashboard?a=b"]


def test_a_refused_head_has_no_body() -> None:
    _, headers, body = asked(HTTP_HOST="evil.example", REQUEST_METHOD="HEAD")
    assert int(headers["Content-Length"][0]) > 0
    assert body == b""


def test_names_are_parsed_into_one_spelling() -> None:
    texts = (
        "Dash.Example., other.example",
        "[2001:DB8::1]",
        "192.168.1.5",
        "b\u00fccher.example",
        " ",
        "",
        "a_b",
    )
    assert parse_names(texts) == {
        "dash.example", "other.example", "2001:db8::1", "192.168.1.5", "xn--bcher-kva.example", "a_b",
    }  # fmt: skip


@pytest.mark.parametrize(
    "word",
    [
        "*",
        "*.example",
        "http://dash.example",
        "dash.example:8080",
        "a/b",
        "a..b",
        "-" * 70,
        "[::1]:80",
    ],
)
def test_what_is_no_name_is_refused_in_one_line(word: str) -> None:
    with pytest.raises(UserError, match="--allowed-host must be a name or an address") as caught:
        parse_names([word])
    assert "\n" not in str(caught.value)
