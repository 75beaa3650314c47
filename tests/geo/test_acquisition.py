from datetime import UTC, datetime, timedelta, timezone

import pytest

from geo.acquisition import acquisition_from_tags


@pytest.mark.parametrize(
    ("tags", "moment"),
    [
        ({"TIFFTAG_DATETIME": "2018:09:15 13:05:00"}, datetime(2018, 9, 15, 13, 5, tzinfo=UTC)),
        (
            {"ACQUISITIONDATETIME": "2021-07-01 10:20:30"},
            datetime(2021, 7, 1, 10, 20, 30, tzinfo=UTC),
        ),
        ({"ACQUISITION_DATE": "2020-05-04"}, datetime(2020, 5, 4, tzinfo=UTC)),
        ({"NITF_IDATIM": "20030504030201"}, datetime(2003, 5, 4, 3, 2, 1, tzinfo=UTC)),
        (
            {"ACQUISITION_DATETIME": "2020-05-04T03:02:01-04:00"},
            datetime(2020, 5, 4, 3, 2, 1, tzinfo=timezone(timedelta(hours=-4))),
        ),
    ],
)
def test_times_as_people_write_them(tags: dict[str, str], moment: datetime) -> None:
    found = acquisition_from_tags(tags)
    assert found.moment == moment
    assert found.evidence == next(iter(tags))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "0000:00:00 00:00:00",
        "Flown on 2018091513, 2018100513",
        "2018:13:45 99:00:00",
    ],
)
def test_prose_is_no_time(text: str) -> None:
    assert acquisition_from_tags({"TIFFTAG_DATETIME": text}) is None


def test_the_acquisition_beats_the_time_of_the_file() -> None:
    tags = {"TIFFTAG_DATETIME": "2024:01:01 00:00:00", "ACQUISITIONDATETIME": "2019-06-01 12:00:00"}
    assert acquisition_from_tags(tags).moment.year == 2019


def test_no_tags_no_time() -> None:
    assert acquisition_from_tags({}) is None
