"""A span of time as people write it: 2022, 2021-06/2022-09, ../2020, 2023-05-01T10:00:00Z."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from geo.catalog.errors import CatalogError

OPEN = {"", ".."}
_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


@dataclass(frozen=True, kw_only=True)
class TimeSpan:
    """From when to when, both included; None where it is open.

    Attributes:
        start: the first moment, with a time zone.
        end: the last moment, with a time zone.
    """

    start: datetime | None
    end: datetime | None

    @property
    def text(self) -> str:
        """As a STAC API reads it: RFC 3339, `..` where it is open."""
        ends = (_rfc3339(end) if end else ".." for end in (self.start, self.end))
        return "/".join(ends)


def parse_time_span(text: str) -> TimeSpan:
    """Return the span of a text.

    Args:
        text: a year, month, day or moment, or two of them with a slash; `..` is an open end. A
            year, month or day is meant whole; what has no time zone is UTC.

    Raises:
        CatalogError: it is none.
    """
    parts = text.strip().split("/")
    if len(parts) > 2 or all(part.strip() in OPEN for part in parts):  # noqa: PLR2004 - start and end
        raise _unreadable(text)
    try:
        start = _moments(parts[0].strip())[0]
        end = _moments(parts[-1].strip())[1]
    except (ValueError, OverflowError) as error:
        raise _unreadable(text) from error
    if start and end and start > end:
        msg = f"--datetime {text}: it ends before it begins, expected the earlier date first"
        raise CatalogError(msg)
    return TimeSpan(start=start, end=end)


def _moments(text: str) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last moment of a date."""
    if text in OPEN:
        return None, None
    day = _DAY.fullmatch(text)
    if day is None:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC), moment.astimezone(UTC)
    year, month, date = (int(part) if part else None for part in day.groups())
    start = datetime(year or 0, month or 1, date or 1, tzinfo=UTC)
    last_month = month or 12
    last = date or calendar.monthrange(start.year, last_month)[1]
    end = datetime(start.year, last_month, last, tzinfo=UTC) + timedelta(hours=24, seconds=-1)
    return start, end


def _rfc3339(moment: datetime) -> str:
    """Return a moment as STAC writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def _unreadable(text: str) -> CatalogError:
    """Return the error of what is no span."""
    msg = f"--datetime {text}: expected such as 2022, 2022-06, 2021-05-01/2022-09-30 or 2020/.."
    return CatalogError(msg)
