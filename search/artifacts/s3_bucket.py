"""One bucket of S3, of Amazon or of any server that speaks its protocol: the client, and its errors as
ours.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from objectives.errors import UserError, first_line
from search.artifacts.objects import BlobMissingError, StoreAwayError

ENDPOINTS = "AWS_ENDPOINT_URL"  # and what begins with it: boto3 reads one for each service
_MISSING = ("NoSuchKey", "404", "NotFound")
_CHANGED = ("PreconditionFailed", "412")


class S3Bucket:
    """A bucket and a client for it; credentials come from the usual environment, files or instance
    role.

    ``endpoint_url`` is empty for Amazon's own; ``store`` is what the bucket is to its user.
    """

    def __init__(self, name: str, endpoint_url: str, store: str) -> None:
        self.name = name
        self._store = store
        self._at = f" at {endpoint_url}" if endpoint_url else ""
        with self.one_line("open", f"s3://{name}"):
            self.client = _connect(endpoint_url)

    @contextmanager
    def one_line(self, action: str, url: str) -> Iterator[None]:
        """Turn botocore's errors into ours: one line, and nothing of what the server echoes of a
        request.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown error"))
            if code == "NoSuchBucket":
                raise UserError(
                    f"the bucket {self.name!r} does not exist{self._at}: create it or name another"
                ) from None
            if code in _MISSING:
                raise BlobMissingError(f"{url} is missing from {self._store}{self._at}") from None
            if code in _CHANGED:
                raise StoreAwayError(
                    f"{url} has changed while it was read: run the same command again"
                ) from error
            raise StoreAwayError(f"cannot {action} {url}{self._at}: {code}") from error
        except BotoCoreError as error:
            raise StoreAwayError(f"cannot {action} {url}{self._at}: {first_line(error)}") from error


def _connect(endpoint_url: str) -> Any:
    """Return a client; slow to import, so only here. Foreign servers get path-style names and no
    optional checksums.

    Raises:
        UserError: An endpoint that boto3 finds by itself, in a variable or a profile, holds
            credentials.
    """
    for name in sorted(os.environ):
        if name.startswith(ENDPOINTS):
            _refuse_credentials(name, os.environ[name])
    import boto3
    from botocore.config import Config

    foreign = {
        "s3": {"addressing_style": "path"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    settings = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 3},
        **(foreign if endpoint_url else {}),
    )
    try:
        client = boto3.session.Session().client(
            "s3", endpoint_url=endpoint_url or None, config=settings
        )
    except ValueError as error:  # "Invalid endpoint", with all of it
        _refuse_credentials("the endpoint_url of the AWS profile", str(error))
        raise UserError(str(error)) from None
    _refuse_credentials("the endpoint_url of the AWS profile", client.meta.endpoint_url)
    return client


def _refuse_credentials(where: str, endpoint: str) -> None:
    """Refuse an endpoint that holds credentials, which every error would show."""
    if "@" in endpoint:
        raise UserError(f"{where} must not hold credentials: set AWS_ACCESS_KEY_ID and so on")
