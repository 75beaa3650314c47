"""A granule to a table in one call."""

from __future__ import annotations

import pytest

pytest.importorskip("h5py")
gpd = pytest.importorskip("geopandas")

from geo.gedi.ingest import ingest_granules  # noqa: E402 - it needs h5py
from geo.gedi.settings import IngestSettings  # noqa: E402


@pytest.fixture
def ingested(tmp_path):
    """A function that ingests files and returns the table and the report."""
    output = tmp_path / "table" / "footprints.parquet"
    output.parent.mkdir()

    def run(*sources, **choices):
        choices = {"preset": "none", "overwrite": True, "workers": 1} | choices
        report = ingest_granules(list(sources), output, IngestSettings(**choices))
        assert [path.name for path in output.parent.iterdir()] == [output.name]
        return gpd.read_parquet(output), report

    return run
