"""Passwords of database URLs: found in any form, hidden in messages, moved out of a process's
words.
"""

import pytest

from search.database.passwords import Command, redacted, scrubbed, secrets_of, without_password

URL = "postgresql://team:s3cr3t-word@host:5432/db"
SEVERAL = "postgresql://team:s3cr3t-word@a:5432,b:5433/db?target_session_attrs=read-write"
PYTHON = ["/usr/bin/python3", "-X", "dev", "-m", "search"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "postgresql://team:***@host:5432/db"),
        ("postgresql+psycopg2://team:a/b:c@d@host/db", "postgresql+psycopg2://team:***@host/db"),
        ("postgresql://:word@host", "postgresql://:***@host"),
        ("postgresql://us/er:word@host", "postgresql://us/er:***@host"),
        ("postgresql:/team:word@host", "postgresql:/team:***@host"),
        ("team:word with spaces@host/db", "team:***@host/db"),
        (
            "postgresql://host/db?user=u&password=word&x=1",
            "postgresql://host/db?user=u&password=***&x=1",
        ),
        ("postgresql://host/db?SSLPASSWORD=word", "postgresql://host/db?SSLPASSWORD=***"),
        ("host=h password = word", "host=h password = ***"),
        ("postgresql://team:word@a:5432,[::1]/db", "postgresql://team:***@a:5432,[::1]/db"),
        ("postgresql://team@a:5432,b:5433/db", "postgresql://team@a:5432,b:5433/db"),
        ("postgresql://a:1,b:2/db?password=wo@rd&x=1", "postgresql://a:***&x=1"),
        ("postgresql://team@host:5432/db", "postgresql://team@host:5432/db"),
        ("postgresql:///db?host=/run/postgres", "postgresql:///db?host=/run/postgres"),
        ("studies.db", "studies.db"),
    ],
)
def test_a_password_is_found_in_every_form(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert bool(secrets_of(url)) == (url != shown)


def test_a_password_is_known_as_written_and_as_meant() -> None:
    assert secrets_of("postgresql://u:p%40ss@h") == ("p%40ss", "p@ss")


def test_a_text_loses_the_password_wherever_it_stands() -> None:
    text = f"cannot open {URL}: wrong s3cr3t-word for user team"
    assert (
        scrubbed(text, URL)
        == "cannot open postgresql://team:***@host:5432/db: wrong *** for user team"
    )
    assert (
        scrubbed("search: no study in db", "postgresql://search:db@host/db")
        == "search: no study in db"
    )
    assert scrubbed("a message", "postgresql://u:e@host") == "a message"
    assert scrubbed(text, "") == text


@pytest.mark.parametrize(
    ("words", "kept", "url"),
    [
        (["status", "--storage", URL, "--json"], ["status", "--json"], URL),
        (["status", f"--storage={URL}"], ["status"], URL),
        (["status", f"--storage={SEVERAL}"], ["status"], SEVERAL),
        (
            ["run", "--storage", "postgresql://h/a", "--set", "a=1", f"--storage={URL}"],
            ["run", "--set", "a=1"],
            URL,
        ),
        (["run", f"--storage={URL}", "--storage", "postgresql://h/a"], ["run"], "postgresql://h/a"),
        (["status", "--storage", "team:word@host"], ["status"], "team:word@host"),
        (
            ["predict", "--storage", URL, "--", "--storage", "x:y@z"],
            ["predict", "--", "--storage", "x:y@z"],
            URL,
        ),
    ],
)
def test_a_command_is_started_anew_without_its_password(
    words: list[str], kept: list[str], url: str
) -> None:
    found = without_password([*PYTHON, *words], len(words), {"A": "b", "SEARCH_STORAGE": "old"})
    assert found == Command([*PYTHON, *kept], {"A": "b", "SEARCH_STORAGE": url})
    assert without_password(found.words, len(kept), found.environment) is None  # once


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["status"],
        ["status", "--storage"],
        ["status", "--storage", "postgresql://u@h:1/d"],
        ["x", "--", "--storage", URL],
    ],
)
def test_a_command_without_a_password_goes_on(words: list[str]) -> None:
    assert without_password([*PYTHON, *words], len(words), {}) is None
