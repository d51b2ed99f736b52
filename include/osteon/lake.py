"""The object store: content-addressed images, Parquet tables, JSON and reports, in one S3 bucket."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import mimetypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import certifi
import pandas as pd
import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error
from pydantic import BaseModel, ValidationError

from osteon.errors import LakeError, LakeUnreachableError, ObjectError
from osteon.settings import LakeSettings

M = TypeVar("M", bound=BaseModel)
MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchBucket", "NotFound"}
SIGNED_FOR = 600
"""Seconds that a signed URL is good for: all tries of one request, and a clock that is a little wrong."""
log = logging.getLogger(__name__)


class _Connections(urllib3.PoolManager):
    """Connections to a store; where it does not answer, that is an error of Osteon's own, which is tried again."""

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        parts = urlsplit(url)
        with _answers(f"{parts.scheme}://{parts.netloc}"):
            return super().urlopen(method, url, *args, **options)


@contextmanager
def _answers(where: str) -> Iterator[None]:
    """Raise `LakeUnreachableError` for a request, or the reading of an answer, that fails on its way."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", error)  # without the URL, which may be signed
        raise LakeUnreachableError(
            f"no object store answers at {where} ({reason}): start one with `make up`, or set OSTEON_S3_ENDPOINT"
        ) from error


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Raise `LakeError` where the store refuses a request, `ObjectError` where it has no such object."""
    try:
        yield
    except S3Error as error:
        if error.code in MISSING:
            raise ObjectError(f"the lake's bucket {error.bucket_name!r} holds no {what}") from error
        raise LakeError(
            f"the store refuses {what} of bucket {error.bucket_name!r} ({error.code}): may the account use it?"
        ) from error
    except InvalidResponseError as error:
        raise LakeError(
            f"what answers for {what} is no object store ({str(error)[:200]}): check OSTEON_S3_ENDPOINT"
        ) from error


class Lake:
    """One bucket of an S3-compatible store. Safe to share between threads.

    A put carries its length and a digest, which the store checks. It is one request. Above 5 MiB it is several, which
    are joined at the end. The store keeps all of it or nothing, so an interrupted upload leaves no object behind.
    """

    def __init__(self, client: Minio, http: urllib3.PoolManager, bucket: str, workers: int = 8) -> None:
        self.client = client
        self.http = http
        """The connections that `client` uses."""
        self.bucket = bucket
        self.workers = workers

    @classmethod
    def from_settings(cls, settings: LakeSettings) -> Lake:
        """Connect, and make the bucket when it is absent. Raises `LakeError` that names the endpoint and the remedy."""
        url = urlsplit(settings.s3_endpoint)
        if url.scheme not in {"http", "https"} or not url.netloc:
            raise LakeError(f"OSTEON_S3_ENDPOINT is {settings.s3_endpoint!r}: give a URL like https://minio:9000")
        http = _Connections(
            timeout=urllib3.Timeout(connect=settings.http_timeout, read=settings.http_timeout),
            maxsize=settings.upload_workers + 2,
            retries=urllib3.Retry(total=5, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(settings.s3_ca or certifi.where()),
        )
        client = Minio(
            url.netloc,
            access_key=settings.s3_access_key or None,
            secret_key=settings.s3_secret_key.get_secret_value() or None,
            secure=url.scheme == "https",
            region=settings.s3_region,
            http_client=http,
        )
        try:
            if not client.bucket_exists(settings.s3_bucket):
                client.make_bucket(settings.s3_bucket)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise LakeError(
                    f"{settings.s3_endpoint} refused bucket {settings.s3_bucket!r} ({error.code}): "
                    "check OSTEON_S3_ACCESS_KEY, OSTEON_S3_SECRET_KEY and OSTEON_S3_BUCKET"
                ) from error
        except LakeUnreachableError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise LakeError(
                    f"the certificate of {settings.s3_endpoint} is not trusted ({error.__cause__}): name the PEM file "
                    "of the authority that signed it in OSTEON_S3_CA"
                ) from error
            raise
        return cls(client, http, settings.s3_bucket, settings.upload_workers)

    # Images

    def put_image(self, data: bytes) -> tuple[str, bool]:
        """Keep an image's bytes under their SHA-256. Returns the digest and whether anything was uploaded."""
        digest = hashlib.sha256(data).hexdigest()
        return digest, self.put_missing(image_key(digest), data)

    def put_missing(self, key: str, data: bytes) -> bool:
        """Put unless the key is there. Returns whether anything was uploaded."""
        missing = not self.exists(key)
        if missing:
            self.put_bytes(key, data)
        return missing

    def put_new(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        """Put unless the key is there, which the store decides: of several writers at once, one puts.

        A store that knows no conditions puts it anyway: read it back.

        Args:
            key: Where it goes.
            data: Less than 5 MiB.
            content_type: Of the data.

        Returns:
            Whether it was put.

        Raises:
            LakeError: The store refuses it for another reason.
        """
        # `put_object` of minio 7.2.20 takes no condition, a signed URL takes any header
        url = self.client.get_presigned_url("PUT", self.bucket, key, timedelta(seconds=SIGNED_FOR))
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        headers = {"Content-Type": content_type, "Content-MD5": digest, "If-None-Match": "*"}
        response = self.http.request("PUT", url, body=data, headers=headers)
        if response.status == HTTPStatus.PRECONDITION_FAILED:
            return False
        if response.status != HTTPStatus.OK:
            raise LakeError(
                f"{key} cannot be put into bucket {self.bucket!r} (status {response.status}): "
                "check that the account may write there"
            )
        return True

    def get_image(self, sha256: str) -> bytes:
        """Bytes of the image, checked against its digest. Raises `LakeError` when absent or altered."""
        data = self.get_bytes(image_key(sha256))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LakeError(f"{image_key(sha256)} does not hold what its name says: the store altered it")
        return data

    # Anything else

    def put_bytes(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object, over one that is there."""
        with _refusals(key):
            self.client.put_object(self.bucket, key, io.BytesIO(data), len(data), content_type)

    def get_bytes(self, key: str) -> bytes:
        """The object's bytes. Raises `ObjectError` when there is none."""
        with _refusals(key):
            response = self.client.get_object(self.bucket, key)
        try:
            with _answers(f"bucket {self.bucket!r}"):
                return response.read()
        finally:
            response.close()
            response.release_conn()

    def get_all(self, keys: list[str]) -> list[bytes]:
        """Bytes of several objects, fetched on threads, in the order given. Raises `LakeError` where one is absent."""
        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(self.get_bytes, keys))

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        try:
            with _refusals(key):
                self.client.stat_object(self.bucket, key)
        except ObjectError:
            return False
        return True

    def changed(self, key: str) -> datetime:
        """When an object that is there was written last, to the second."""
        with _refusals(key):
            changed = self.client.stat_object(self.bucket, key).last_modified
        assert changed is not None  # every store's answer has the header
        return changed

    def _objects(self, prefix: str, recursive: bool = True) -> Iterator[Object]:
        with _refusals(prefix):
            yield from self.client.list_objects(self.bucket, prefix=prefix, recursive=recursive)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that start with the prefix, in order."""
        for item in self._objects(prefix):
            if item.object_name and not item.is_dir:
                yield item.object_name

    def etags(self, prefix: str) -> dict[str, str]:
        """The store's mark of the content of each object directly below the prefix, not in folders there, by key."""
        found = self._objects(prefix, recursive=False)
        return {str(item.object_name): str(item.etag) for item in found if not item.is_dir}

    def newest(self, prefix: str, ending: str) -> list[str]:
        """Keys below the prefix that end so, the one written last first."""
        found = self._objects(prefix)
        ours = [
            (item.last_modified, str(item.object_name))
            for item in found
            if item.last_modified and str(item.object_name).endswith(ending)
        ]
        return [key for _, key in newest_first(ours)]

    def remove(self, key: str) -> None:
        """Delete an object, if there is one."""
        with _refusals(key):
            self.client.remove_object(self.bucket, key)

    def remove_folder(self, prefix: str) -> int:
        """Delete what lies below the prefix. Returns the number of objects. Raises `LakeError` where one stays."""
        keys = list(self.keys(f"{prefix}/"))
        with _refusals(prefix):
            failed = [error.name for error in self.client.remove_objects(self.bucket, map(DeleteObject, keys))]
        if failed:
            raise LakeError(f"{failed[0]} cannot be deleted from bucket {self.bucket!r}")
        return len(keys)

    def put_table(self, key: str, table: pd.DataFrame) -> None:
        """Write a table as Parquet, without its index."""
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False, compression="zstd")
        self.put_bytes(key, buffer.getvalue(), "application/vnd.apache.parquet")

    def get_table(self, key: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Read a table, or some of its columns. Raises `LakeError` where there is none."""
        return pd.read_parquet(io.BytesIO(self.get_bytes(key)), columns=columns)

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as JSON. Raises `ValueError` for a number that is not finite."""
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
        self.put_bytes(key, text.encode(), "application/json")

    def get_json(self, key: str) -> Any:
        """Read JSON. Raises `LakeError` where there is none."""
        return json.loads(self.get_bytes(key))

    def put_model(self, key: str, value: BaseModel) -> None:
        """Write a pydantic model as JSON."""
        self.put_json(key, value.model_dump(mode="json"))

    def get_model(self, kind: type[M], key: str) -> M:
        """A value that `put_model` put. Fields that `kind` does not know are left out.

        Raises:
            ObjectError: There is no such object, or it does not hold a value of that kind.
        """
        try:
            return kind.model_validate_json(self.get_bytes(key), extra="ignore")
        except ValidationError as error:
            raise ObjectError(
                f"{key} holds no {kind.__name__} that this version of Osteon can read: {error}"
            ) from error

    def find_model(self, kind: type[M], key: str) -> M | None:
        """A value that `put_model` put; None, with a line in the log, where `get_model` raises `ObjectError`."""
        try:
            return self.get_model(kind, key)
        except ObjectError as error:
            log.warning("%s is left out: %s", key, error)
            return None

    def put_folder(self, prefix: str, folder: Path) -> int:
        """Upload a folder's files below the prefix. Returns their number."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files:
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            self.put_bytes(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes(), kind)
        return len(files)

    def get_folder(self, prefix: str, folder: Path) -> int:
        """Download what lies below the prefix. Returns the number of files."""
        count = 0
        for key in self.keys(f"{prefix}/"):
            target = folder / key.removeprefix(f"{prefix}/")
            if not target.resolve().is_relative_to(folder.resolve()):
                raise LakeError(f"{key} would be written outside {folder}: remove that object")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.get_bytes(key))
            count += 1
        return count


def newest_first(dated: list[tuple[datetime, str]]) -> list[tuple[datetime, str]]:
    """By time, the last first; of one time by name."""
    return sorted(dated, reverse=True)


def image_key(sha256: str) -> str:
    """Key of an image in the lake."""
    return f"images/{sha256[:2]}/{sha256}"


def derived_key(stage: str, version: int, *inputs: object, suffix: str = ".parquet") -> str:
    """Key of a stage's output, a function of the stage, its code's version and its inputs."""
    text = json.dumps([stage, version, *inputs], sort_keys=True, default=str)
    return f"{stage}/{hashlib.sha256(text.encode()).hexdigest()[:20]}{suffix}"
