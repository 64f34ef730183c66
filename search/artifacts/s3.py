"""Objects in an S3 bucket, of Amazon or of any server that speaks its protocol."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from objectives.errors import UserError, first_line
from search.artifacts.objects import BlobMissingError, StoreAwayError, Stored, sharded, unsharded

ENDPOINTS = "AWS_ENDPOINT_URL"  # and what begins with it: boto3 reads one for each service
_MISSING = ("NoSuchKey", "404", "NotFound")


class S3Objects:
    """Keys ``<prefix>/ab/cdef...`` of one bucket; credentials come from the usual environment,
    files or instance role.

    ``endpoint_url`` is empty for Amazon's own. S3 shows an object only when all of it has arrived,
    so a write is one call; 5 GiB is the largest object of one call.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str = "") -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._where = f" at {endpoint_url}" if endpoint_url else ""
        with self._one_line("open", f"s3://{bucket}"):
            self._client = _connect(endpoint_url)

    def write(self, key: str, data: bytes) -> None:
        """Put the object."""
        name = self._prefix + sharded(key)
        with self._one_line("write", self.describe(key)):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        name = self._prefix + sharded(key)
        with self._one_line("read", self.describe(key)):
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        return body

    def delete(self, key: str) -> None:
        """Remove the object; S3 itself does not mind a missing one."""
        name = self._prefix + sharded(key)
        with self._one_line("delete", self.describe(key)):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def exists(self, key: str) -> bool:
        """Return whether the object is there."""
        name = self._prefix + sharded(key)
        try:
            with self._one_line("look for", self.describe(key)):
                self._client.head_object(Bucket=self._bucket, Key=name)
        except BlobMissingError:
            return False
        return True

    def stored(self) -> Iterator[Stored]:
        """Yield the objects under the prefix."""
        with self._one_line("list", f"s3://{self._bucket}/{self._prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            ):
                for entry in page.get("Contents", ()):
                    key = unsharded(entry["Key"].removeprefix(self._prefix))
                    if key is not None:
                        yield Stored(key, entry["Size"], entry["LastModified"].timestamp())

    def look(self, key: str) -> Stored:
        """Return the object's size and time."""
        name = self._prefix + sharded(key)
        with self._one_line("look for", self.describe(key)):
            head = self._client.head_object(Bucket=self._bucket, Key=name)
        return Stored(key, head["ContentLength"], head["LastModified"].timestamp())

    def drafts(self) -> Iterator[Stored]:
        """Yield nothing: an object of one call is whole or not there."""
        return iter(())

    def drop_draft(self, name: str) -> None:
        """Do nothing: there are none."""

    def describe(self, key: str) -> str:
        """Return the object's URL."""
        return f"s3://{self._bucket}/{self._prefix}{sharded(key)}"

    @contextmanager
    def _one_line(self, action: str, url: str) -> Iterator[None]:
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
                    f"the bucket {self._bucket!r} does not exist{self._where}: create it or name "
                    f"another"
                ) from None
            if code in _MISSING:
                raise BlobMissingError(
                    f"{url} is missing from the artifact store{self._where}"
                ) from None
            raise StoreAwayError(f"cannot {action} {url}{self._where}: {code}") from error
        except BotoCoreError as error:
            raise StoreAwayError(
                f"cannot {action} {url}{self._where}: {first_line(error)}"
            ) from error


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
