"""Spans of time as people write them."""

from __future__ import annotations

import pytest

from geo.catalog.dates import parse_time_span
from geo.catalog.errors import CatalogError


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2022", "2022-01-01T00:00:00Z/2022-12-31T23:59:59Z"),
        ("2024-02", "2024-02-01T00:00:00Z/2024-02-29T23:59:59Z"),
        ("2023-2-1", "2023-02-01T00:00:00Z/2023-02-01T23:59:59Z"),
        ("2021-05/2022", "2021-05-01T00:00:00Z/2022-12-31T23:59:59Z"),
        ("2020/..", "2020-01-01T00:00:00Z/.."),
        ("../2020-06", "../2020-06-30T23:59:59Z"),
        ("/2020", "../2020-12-31T23:59:59Z"),
        ("2023-05-01T10:00:00Z", "2023-05-01T10:00:00Z/2023-05-01T10:00:00Z"),
        ("2023-05-01T10:00+02:00/2024", "2023-05-01T08:00:00Z/2024-12-31T23:59:59Z"),
        ("2023-05-01T10:00/..", "2023-05-01T10:00:00Z/.."),
        ("9999", "9999-01-01T00:00:00Z/9999-12-31T23:59:59Z"),
    ],
)
def test_a_span_is_read(text, span):
    assert parse_time_span(text).text == span


@pytest.mark.parametrize(
    "text",
    ["", "..", "../..", "/", "yesterday", "2022-13", "2023-02-29", "2022/2023/2024", "22", "0000",
     "2022-1-1-1", "2023/2022", "summer/2022"],
)  # fmt: skip
def test_what_is_no_span_gives_one_line(text):
    with pytest.raises(CatalogError, match="--datetime") as refusal:
        parse_time_span(text)
    assert "\n" not in str(refusal.value)
