"""Database URLs: the driver is named, mistakes are clear, and passwords never show."""

import pytest

from objectives.errors import SearchError, UserError
from search.database.connections import database_url, open_engine, reachable
from search.database.passwords import redacted


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_the_driver_is_named(scheme: str) -> None:
    assert database_url(f"{scheme}://u:p@h/d") == "postgresql+psycopg2://u:p@h/d"


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
    ],
)
def test_passwords_are_redacted(url: str) -> None:
    assert "cret" not in redacted(url)
    assert redacted(url).startswith("postgresql://")


@pytest.mark.parametrize(
    "url", ["postgresql://u:secret@127.0.0.1:1/d", "postgresql://u:secret@127.0.0.1:1/d?foo=1"]
)
def test_a_database_that_cannot_be_used_is_one_line(url: str) -> None:
    engine = open_engine(url)
    with pytest.raises(SearchError) as caught, reachable(url), engine.connect():
        pass
    engine.dispose()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
