"""Database URLs: the driver is named, mistakes are clear, and passwords never show."""

import pytest
from sqlalchemy import make_url

from objectives.errors import SearchError, UserError
from search.database.connections import database_url, open_engine, reachable
from search.database.passwords import redacted


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_the_driver_is_named(scheme: str) -> None:
    assert database_url(f"{scheme}://u:p@h/d") == "postgresql+psycopg2://u:p@h/d"


HOSTS = {
    "u:p@a:5432,b:5433/d": "u:p@/d?host=a,b&port=5432,5433",
    "u:p@a,b/d": "u:p@/d?host=a,b&port=,",
    "u@a,b:5433/d": "u@/d?host=a,b&port=,5433",
    "a:1,b:2,c:3/d": "/d?host=a,b,c&port=1,2,3",
    "a:1,b:2": "?host=a,b&port=1,2",
    "u:p@[::1]:5432,[fe80::2]:5433/d": "u:p@/d?host=::1,fe80::2&port=5432,5433",
    "[::1],db.example:5433/d": "/d?host=::1,db.example&port=,5433",
    "u@a,b/d?port=5433&connect_timeout=3": "u@/d?host=a,b&port=5433,5433&connect_timeout=3",
    "u@a,b/d?port=1,2": "u@/d?host=a,b&port=1,2",
    "u:p@%2Ftmp,b/d": "u:p@/d?host=/tmp,b&port=,",
    "u:p%40,x@a:1,b:2/d?target_session_attrs=read-write": "u:p%40,x@/d?host=a,b&port=1,2&target_session_attrs=read-write",
}
SAME = [
    "u:p,x@h/d",
    "u:p@[::1]:5432/d",
    "/d?host=/run/a,b",
    "u:p@/d?host=a:5432&host=b:5433&target_session_attrs=read-write",
    "u@/d?host=a,b&port=1,2",
]


@pytest.mark.parametrize(("url", "read"), [*HOSTS.items(), *zip(SAME, SAME, strict=True)])
def test_several_hosts_are_read_in_either_form(url: str, read: str) -> None:
    assert database_url(f"postgresql://{url}") == f"postgresql+psycopg2://{read}"
    assert database_url(f"postgresql+psycopg2://{read}") == f"postgresql+psycopg2://{read}"


def test_the_driver_is_given_each_host_with_its_port() -> None:
    url = make_url(database_url("postgresql://u:p@[::1]:5432,b,c:5433/d?sslmode=prefer"))
    _, arguments = url.get_dialect()().create_connect_args(url)
    assert {key: str(value) for key, value in arguments.items()} == {
        "host": "::1,b,c",
        "port": "5432,,5433",
        "user": "u",
        "password": "p",
        "dbname": "d",
        "sslmode": "prefer",
    }


@pytest.mark.parametrize(
    "url",
    [
        "u:secret@a:x,b/d",
        "u:secret@a,/d",
        "u:secret@a,b:1:2/d",
        "u:secret@::1,b/d",
        "u:secret@a:1,b:2/d?port=3",
        "u:secret@a,b/d?host=c",
        "u:secret@a,b,c/d?port=1,2",
        "u:se@cret@a,b/d",
    ],
)
def test_hosts_that_cannot_be_read_are_refused_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(UserError, match="--storage") as caught:
        database_url(f"postgresql://{url}")
    assert "cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "studies.db",
        "sqlite:///x.db",
        "mysql://u:secret@h/d",
        "postgresql://u:secret@h:abc/d",
        "postgresql://u:se@cret@h/d",
    ],
)
def test_other_urls_are_refused_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(UserError, match="--storage") as caught:
        database_url(url)
    assert "cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@h/d",
        "postgresql://u:se@cret@h/d",
        "postgresql://h/d?user=u&password=secret&x=1",
        "postgresql://u:secret@a:5432,b:5433/d",
        "postgresql://u:secret@[::1]:5432,b/d?target_session_attrs=read-write",
        "postgresql://a:5432,b:5433/d?user=u&password=se@cret",
    ],
)
def test_passwords_are_redacted(url: str) -> None:
    assert "cret" not in redacted(url)
    assert redacted(url).startswith("postgresql://")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:1/d",
        "postgresql://u:secret@127.0.0.1:1/d?foo=1",
        "postgresql://u:secret@127.0.0.1:1,[::1]:1/d?target_session_attrs=read-write",
        "postgresql://u:secret@127.0.0.1:1,[::1]:1/d?target_session_attrs=odd",
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(url: str) -> None:
    engine = open_engine(url)
    with pytest.raises(SearchError) as caught, reachable(url), engine.connect():
        pass
    engine.dispose()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
