"""Objects in an S3 bucket, of Amazon or of any server that speaks its protocol."""

from collections.abc import Iterator

from search.artifacts.objects import BlobMissingError, Stored, sharded, unsharded
from search.artifacts.s3_bucket import S3Bucket


class S3Objects:
    """Keys ``<prefix>/ab/cdef...`` of one bucket; credentials come from the usual environment,
    files or instance role.

    ``endpoint_url`` is empty for Amazon's own. S3 shows an object only when all of it has arrived,
    so a write is one call; 5 GiB is the largest object of one call.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str = "") -> None:
        self._bucket = S3Bucket(bucket, endpoint_url, "the artifact store")
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    def write(self, key: str, data: bytes) -> None:
        """Put the object."""
        name = self._prefix + sharded(key)
        with self._bucket.one_line("write", self.describe(key)):
            self._bucket.client.put_object(Bucket=self._bucket.name, Key=name, Body=data)

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        name = self._prefix + sharded(key)
        with self._bucket.one_line("read", self.describe(key)):
            body: bytes = self._bucket.client.get_object(Bucket=self._bucket.name, Key=name)[
                "Body"
            ].read()
        return body

    def delete(self, key: str) -> None:
        """Remove the object; S3 itself does not mind a missing one."""
        name = self._prefix + sharded(key)
        with self._bucket.one_line("delete", self.describe(key)):
            self._bucket.client.delete_object(Bucket=self._bucket.name, Key=name)

    def exists(self, key: str) -> bool:
        """Return whether the object is there."""
        name = self._prefix + sharded(key)
        try:
            with self._bucket.one_line("look for", self.describe(key)):
                self._bucket.client.head_object(Bucket=self._bucket.name, Key=name)
        except BlobMissingError:
            return False
        return True

    def stored(self) -> Iterator[Stored]:
        """Yield the objects under the prefix."""
        with self._bucket.one_line("list", f"s3://{self._bucket.name}/{self._prefix}"):
            for page in self._bucket.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._prefix
            ):
                for entry in page.get("Contents", ()):
                    key = unsharded(entry["Key"].removeprefix(self._prefix))
                    if key is not None:
                        yield Stored(key, entry["Size"], entry["LastModified"].timestamp())

    def look(self, key: str) -> Stored:
        """Return the object's size and time."""
        name = self._prefix + sharded(key)
        with self._bucket.one_line("look for", self.describe(key)):
            head = self._bucket.client.head_object(Bucket=self._bucket.name, Key=name)
        return Stored(key, head["ContentLength"], head["LastModified"].timestamp())

    def drafts(self) -> Iterator[Stored]:
        """Yield nothing: an object of one call is whole or not there."""
        return iter(())

    def drop_draft(self, name: str) -> None:
        """Do nothing: there are none."""

    def describe(self, key: str) -> str:
        """Return the object's URL."""
        return f"s3://{self._bucket.name}/{self._prefix}{sharded(key)}"
