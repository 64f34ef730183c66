"""Where the artifacts are, as the user writes it: ``DIR``, ``file:///DIR`` or
``s3://bucket/prefix?endpoint=http://...``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from objectives.errors import UserError
from search.artifacts.blobs import Blobs, BlobStore
from search.artifacts.folder import FolderObjects
from search.artifacts.objects import Objects
from search.artifacts.s3 import S3Objects

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORMS = "give a folder, file:///FOLDER or s3://BUCKET/PREFIX?endpoint=http://HOST:PORT"


@dataclass(frozen=True)
class Folder:
    """A folder of this machine or of a shared file system."""

    path: Path


@dataclass(frozen=True)
class Bucket:
    """A prefix of an S3 bucket; ``endpoint_url`` is empty for Amazon's own."""

    name: str
    prefix: str
    endpoint_url: str


def parse_location(url: str, whose: str = "the artifacts'") -> Folder | Bucket:
    """Read what the user gave as the artifacts' place; touches neither disk nor network, save to
    see that DIR is no file. ``whose`` it is stands in messages.

    Raises:
        UserError: It is neither a folder nor an S3 URL, or holds credentials.
    """
    if not _SCHEME.match(url):
        return _folder(url)
    parts = _split(url)
    if "@" in parts.netloc:
        raise UserError(
            f"{whose} URL ({parts.scheme}://...) must not hold credentials: set "
            f"AWS_ACCESS_KEY_ID and so on"
        )
    match parts.scheme:
        case "file" if parts.netloc in ("", "localhost") and not parts.query:
            return _folder(unquote(parts.path))
        case "s3":
            return _bucket(parts, whose)
        case _:
            raise UserError(f"{whose} URL cannot be {url!r}: {_FORMS}")


def open_blobs(url: str) -> BlobStore:
    """Return the store of weights and states at ``url``.

    Raises:
        UserError: The URL is wrong.
    """
    return Blobs(open_objects(url, "blobs"))


def open_objects(url: str, part: str) -> Objects:
    """Return the named bytes under the part ``part`` (``pictures``) of the artifacts at ``url``.

    Raises:
        UserError: The URL is wrong.
    """
    match parse_location(url):
        case Folder(path):
            return FolderObjects(path / part)
        case Bucket(name, prefix, endpoint_url):
            return S3Objects(name, f"{prefix}/{part}", endpoint_url)
        case _ as never:
            assert_never(never)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is no number
    except ValueError as error:
        raise UserError(f"the URL cannot be read ({error}): {_FORMS}") from None
    return parts


def _folder(path: str) -> Folder:
    if not path.strip() or "\0" in path:
        raise UserError(f"the artifacts' folder cannot be {path!r}: {_FORMS}")
    try:
        folder = Path(path).expanduser().absolute()
    except RuntimeError as error:  # ~stranger
        raise UserError(f"the artifacts' folder cannot be {path!r}: {error}") from None
    if folder.exists() and not folder.is_dir():
        raise UserError(f"the artifacts' folder {folder} is a file: name a folder")
    return Folder(folder)


def _bucket(parts: SplitResult, whose: str) -> Bucket:
    if not _BUCKET.fullmatch(parts.netloc):
        raise UserError(
            f"{whose} bucket must be 3 to 63 of a-z, 0-9, dot and dash, got {parts.netloc!r}"
        )
    options = parse_qs(parts.query, keep_blank_values=True)
    if unknown := sorted(set(options) - {"endpoint"}):
        raise UserError(f"{whose} URL knows only the option endpoint, got {', '.join(unknown)}")
    endpoint_url = options.get("endpoint", [""])[-1].rstrip("/")
    if "endpoint" in options:
        _check_endpoint(endpoint_url, whose)
    return Bucket(parts.netloc, unquote(parts.path).strip("/"), endpoint_url)


def _check_endpoint(endpoint_url: str, whose: str) -> None:
    endpoint = _split(endpoint_url)
    if "@" in endpoint.netloc:
        raise UserError(
            f"{whose} endpoint must not hold credentials: set AWS_ACCESS_KEY_ID and so on"
        )
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        raise UserError(
            f"{whose} endpoint must be http://HOST:PORT or https://HOST, got {endpoint_url!r}"
        )
