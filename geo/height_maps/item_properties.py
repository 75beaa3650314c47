"""What the item of a height map says beside its place and its files: when, how, how high."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pystac.utils import datetime_to_str

from geo.height_maps.map_facts import AcquisitionInterval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geo.height_maps.map_facts import (
        HeightMapFacts,
        IntervalFacts,
        MethodReference,
        ModelReference,
    )

# Imagery without a date was taken after this and before it was processed; see _times.
EARLIEST_IMAGERY = datetime(1900, 1, 1, tzinfo=UTC)


def properties_of(facts: HeightMapFacts) -> dict[str, Any]:
    """Return the item's properties but for `datetime` and those that the extensions add."""
    return {
        "title": facts.title,
        **_times(facts),
        "processing:level": level_of(facts),
        "processing:datetime": _utc(facts.processed),
        "processing:software": {facts.software: facts.software_version},
        "canopy:height_m": _height_summary(facts),
        **(_of_interval(facts.interval) if facts.interval else {}),
        **(_of_model(facts.model) if facts.model else {}),
        **(_of_method(facts.method) if facts.method else {}),
    }


def _of_interval(interval: IntervalFacts) -> dict[str, Any]:
    """Return what the item says of the intervals around its heights."""
    return {
        "canopy:interval": {
            "level": interval.level,
            "calibration": interval.calibration,
            "mean_lower_m": finite({"mean": interval.lower.mean_m}).get("mean"),
            "mean_upper_m": finite({"mean": interval.upper.mean_m}).get("mean"),
        }
    }


def _of_model(model: ModelReference) -> dict[str, Any]:
    """Return what the item says of the model that predicted its heights."""
    known = {
        "canopy:model_licence": model.licence,
        "canopy:model_weights_sha256": model.weights_sha256,
    }
    return {
        "processing:lineage": f"Canopy heights from RGB imagery by {model.name} {model.version}",
        "canopy:model_name": model.name,
        "canopy:model_version": model.version,
    } | {name: value for name, value in known.items() if value}


def _of_method(method: MethodReference) -> dict[str, Any]:
    """Return what the item says of the method that measured its heights."""
    details = {f"canopy:{name}": value for name, value in method.details.items()}
    return {"processing:lineage": method.lineage, "canopy:method": method.name, **details}


def level_of(facts: HeightMapFacts) -> str:
    """Return the level of processing: a model's output is L4, a measurement on a grid L3."""
    return "L4" if facts.model else "L3"


def _height_summary(facts: HeightMapFacts) -> dict[str, float]:
    """Return mean, spread, extremes and percentiles in metres."""
    heights = facts.heights
    percentiles = {f"p{rank}": height for rank, height in heights.percentiles_m.items()}
    ends = {"minimum": heights.minimum_m, "maximum": heights.maximum_m}
    return finite({"mean": heights.mean_m, "stddev": heights.stddev_m, **ends, **percentiles})


def _times(facts: HeightMapFacts) -> dict[str, Any]:
    """Return when the ground looked like this, and how that is known.

    The time of an item is that of its imagery: trees grow and fall between the flight and the
    processing, so the time of processing (`created`) never stands in for it. Where the acquisition
    is unknown the item says just what is known: a null `datetime`, an interval that surely holds
    the moment, from EARLIEST_IMAGERY to the processing, and `canopy:acquisition` "unknown". A
    search by date then finds the map for any date, and its reader sees why. A survey that took some
    time has its interval and likewise a null `datetime`.
    """
    processed, acquired = _utc(facts.processed), facts.acquired
    if isinstance(acquired, AcquisitionInterval):
        return {
            "start_datetime": _utc(acquired.start),
            "end_datetime": _utc(acquired.end),
            "created": processed,
            "canopy:acquisition": acquired.evidence,
        }
    if acquired is not None:
        return {"created": processed, "canopy:acquisition": acquired.evidence}
    return {
        "start_datetime": _utc(EARLIEST_IMAGERY),
        "end_datetime": processed,
        "created": processed,
        "canopy:acquisition": "unknown",
    }


def moment_of(facts: HeightMapFacts) -> datetime | None:
    """Return the one moment at which the ground looked like this, where it is known."""
    acquired = facts.acquired
    if acquired is None or isinstance(acquired, AcquisitionInterval):
        return None
    return acquired.moment.astimezone(UTC)


def _utc(moment: datetime) -> str:
    """Return a moment as STAC writes it: in UTC, which pystac leaves to us."""
    return datetime_to_str(moment.astimezone(UTC))


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the entries that JSON can hold, to four decimals: more would be noise."""
    rounded = {name: round(float(number), 4) for name, number in numbers.items()}
    return {name: number for name, number in rounded.items() if math.isfinite(number)}
