"""Keeps the password of a database's URL out of what others can read: the list of processes, and
messages.

``ps`` shows the words of every process to every user of a host; its environment is readable by its
own user and root alone.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

OPTION = "--storage"
VARIABLE = "SEARCH_STORAGE"
HIDDEN = "***"
# letters of a password that is hidden wherever it stands: a shorter one is part of too many words
SHORTEST = 4
_USER_PART = re.compile(
    r"^(?P<before>(?>(?:[a-z][a-z0-9+.-]*:/+)?)[^:]*):(?P<password>.*)@", re.DOTALL | re.IGNORECASE
)
_QUERY = re.compile(  # also of the form that libpq has beside URLs: host=h password=p
    r"(?P<before>(?:^|[?&;\s])[a-z_%0-9]*(?:password|passwd|pwd)\s*=\s*)(?P<password>[^&;]*)",
    re.DOTALL | re.IGNORECASE,
)


class Command(NamedTuple):
    """A program's words, the first its own name, and its environment."""

    words: list[str]
    environment: dict[str, str]


def hide_password() -> None:
    """Start this very process anew with a password of ``--storage`` in the environment; nothing
    when there is none.

    It keeps its number, its open files and its ignored signals, so nobody who started it sees a
    difference.
    """
    if (
        command := without_password(sys.orig_argv, len(sys.argv) - 1, os.environ)
    ) and sys.executable:
        os.execve(sys.executable, command.words, command.environment)


def without_password(
    words: Sequence[str], own: int, environment: Mapping[str, str]
) -> Command | None:
    """Return the command with ``--storage`` moved to ``SEARCH_STORAGE``; None when no such option
    holds a password.

    The last ``own`` words are the program's, those before are Python's. Of a repeated option the
    last one counts, and a word after ``--`` is none.
    """
    before = list(words[: len(words) - own])
    after = words[len(words) - own :]
    kept, urls = _split(after)
    if not any(map(secrets_of, urls)):
        return None
    return Command([*before, *kept], {**environment, VARIABLE: urls[-1]})


def urls_of(words: Sequence[str]) -> list[str]:
    """Return what ``--storage`` is given, in the order of the words."""
    return _split(words)[1]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words but ``--storage`` with its values, and these values."""
    kept: list[str] = []
    urls: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            kept += [word, *rest]
            break
        if name == OPTION and (equals or rest):
            urls.append(value if equals else rest.pop(0))
        else:
            kept.append(word)
    return kept, urls


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the passwords in a URL, as written and as meant; also in one that is malformed, where
    it is better to see too many.
    """
    passwords = [url[start:end] for start, end in _spans(url)]
    return tuple(
        dict.fromkeys(
            word for password in passwords for word in (password, unquote(password)) if word
        )
    )


def redacted(url: str) -> str:
    """Return the URL with ``***`` for its passwords."""
    shown, hidden_to = "", 0
    for start, end in sorted(_spans(url)):
        if start >= hidden_to:  # else it begins within what is hidden already
            shown += url[hidden_to:start] + HIDDEN
        hidden_to = max(hidden_to, end)
    return shown + url[hidden_to:]


def _spans(url: str) -> list[tuple[int, int]]:
    """Return where passwords stand. Both patterns are asked of the whole URL: an @ within one of
    the query makes a user's of all before it.
    """
    return [
        match.span("password")
        for pattern in (_USER_PART, _QUERY)
        for match in pattern.finditer(url)
    ]


def scrubbed(text: str, url: str) -> str:
    """Return the text without the URL's passwords, wherever they stand in it.

    A password that is also a public part of the URL (that of user ``postgres`` say) is hidden only
    where it stands in the URL.
    """
    safe = redacted(url)
    if safe == url:
        return text
    text = text.replace(url, safe)
    for secret in sorted(secrets_of(url), key=len, reverse=True):
        text = text.replace(f":{secret}@", f":{HIDDEN}@")
        if len(secret) >= SHORTEST and secret not in safe:
            text = text.replace(secret, HIDDEN)
    return text
