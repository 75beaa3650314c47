"""What a bucket refuses, told in a line: bare reasons of S3 help nobody."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from geo.errors import GeoError, NoSuchProductError, StoreDownError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator


class PreconditionError(StoreError):
    """An object is not, or no longer, as a conditional request expects it."""


class UnconditionalError(StoreError):
    """The server, or the client library, knows no conditional requests."""


KEYS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to keys that may"
DOWN_STATUS = 500


@contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Turn what s3fs and botocore raise into errors of stores.

    Args:
        url: what was asked for, ``s3://bucket/key``.

    Raises:
        NoSuchProductError: there is no such object.
        StoreDownError: the server does not answer, or fails; another try may help.
        StoreError: it refuses: no bucket, no keys, no right.
    """
    try:
        yield
    except GeoError:
        raise
    except Exception as error:  # two libraries raise of many kinds, OSError or not
        raise _plain(url, error) from error


def _plain(url: str, error: Exception) -> StoreError:
    """Return the error of a store that an error of the libraries means."""
    code, status = _answer(error)
    kind = type(error).__name__
    found = (
        _conditional(url, code, kind) or _missing(url, code, error) or _refused(url, code, error)
    )
    if found:
        return found
    if _is_down(kind, code, status):
        return StoreDownError(f"{url} cannot be reached just now ({_line(error)}): try again later")
    return StoreError(f"{url} cannot be used ({_line(error)})")


def _conditional(url: str, code: str, kind: str) -> StoreError | None:
    """Return the error of a conditional request, if it is one."""
    if code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
        return PreconditionError(f"{url} was written by another run meanwhile")
    if code in {"NotImplemented", "501"} or kind == "ParamValidationError":
        return UnconditionalError(f"{url}: conditional writes are unknown here")
    return None


def _missing(url: str, code: str, error: Exception) -> StoreError | None:
    """Return the error of a bucket or an object that does not exist, if it is one."""
    if code == "NoSuchBucket":
        bucket = _bucket(url)
        return StoreError(f"bucket {bucket} does not exist: make it, or choose another output")
    if isinstance(error, FileNotFoundError) or code in {"NoSuchKey", "404"}:
        return NoSuchProductError(f"{url} is missing: expected a finished product")
    return None


def _refused(url: str, code: str, error: Exception) -> StoreError | None:
    """Return the error of missing keys or rights, if it is one."""
    if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}:
        return StoreError(f"no keys for s3://{_bucket(url)} were found ({_line(error)}): {KEYS}")
    if isinstance(error, PermissionError) or code in {"403", "401"}:
        reason = code if code and not code.isdigit() else _line(error)
        return StoreError(f"{url} is refused ({reason}): {KEYS} write there")
    return None


def _bucket(url: str) -> str:
    """Return the name of a URL's bucket."""
    return url.removeprefix("s3://").partition("/")[0]


def _answer(error: BaseException | None) -> tuple[str, int]:
    """Return the code and the HTTP status that S3 answered with; "" and 0 where it did not."""
    while error is not None:
        response: dict[str, Any] | None = getattr(error, "response", None)
        if isinstance(response, dict) and "Error" in response:
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(response["Error"].get("Code", "")), int(status)
        error = error.__cause__
    return "", 0


def _is_down(kind: str, code: str, status: int) -> bool:
    """Whether another try may help: the line or the server is to blame, not the request."""
    busy = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"}
    lost = ("Timeout", "Connection", "HTTPClient", "IncompleteRead", "Payload", "Disconnected")
    return status >= DOWN_STATUS or code in busy or (not code and any(w in kind for w in lost))


def _line(error: Exception) -> str:
    """Return an error's first line, not too long."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
