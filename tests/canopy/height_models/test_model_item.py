"""A model as a STAC item: valid, complete for whoever runs it, and modest about where and when."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pystac
import pytest
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from canopy.errors import ModelError
from canopy.height_models.card import ModelCard
from canopy.height_models.item import CHMV1_DOI, MLM_SCHEMA, ModelFacts, describe_model
from geo.height_maps.stac_item import write_item

HERE = Path(__file__).parent
SCHEMAS = json.loads((HERE / "model_item_schemas.json").read_text("utf-8"))
FILE_SCHEMA = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

CARD = ModelCard(
    name="chm-test",
    version="1.0.0",
    summary="For tests.",
    licence="Apache-2.0",
    training_data="Forests.",
    gsd_m=0.6,
    maximum_height_m=63.0,
    mean=(0.42, 0.411, 0.296),
    std=(0.213, 0.156, 0.143),
    tile_px=256,
    overlap_px=32,
    multiple_px=32,
    url="https://example.org/model",
    notice="Not for decisions.",
)
FACTS = ModelFacts(
    architecture="DPT",
    parameters=1000,
    weights_url="https://example.org/model.pth",
    licence_url="https://example.org/licence",
    doi=CHMV1_DOI,
    pretrained=True,
    pretrained_source="18 million satellite images",
)


@pytest.fixture(scope="module")
def validator():
    """pystac's own validator: STAC core as it ships, extensions as in the files of the tests."""
    validator = JsonSchemaSTACValidator()
    geo = json.loads((HERE.parents[1] / "geo" / "stac_extension_schemas.json").read_text("utf-8"))
    validator.schema_cache |= SCHEMAS | {FILE_SCHEMA: geo[FILE_SCHEMA]}
    return validator


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(_, source):
        pytest.fail(f"the network was asked for {source}")

    monkeypatch.setattr(pystac.stac_io.DefaultStacIO, "read_text_from_href", refuse)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "models" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


def written(item, path):
    return pystac.Item.from_dict(json.loads(write_item(item, path).read_text("utf-8")))


FACTS_OF_ALL_KINDS = {
    "everything": FACTS,
    "least": ModelFacts(weights_url="https://example.org/model.safetensors"),
    "from scratch": replace(FACTS, pretrained=False, pretrained_source=None),
}


@pytest.mark.parametrize("kind", FACTS_OF_ALL_KINDS)
@pytest.mark.parametrize("local", [True, False])
def test_the_written_item_is_valid(tmp_path, validator, weights, kind, local):
    facts = replace(FACTS_OF_ALL_KINDS[kind], weights=weights if local else None)
    path = tmp_path / "model.json"
    item = written(describe_model(CARD, facts, path), path)
    assert len(item.validate(validator)) == 1 + len(item.stac_extensions)
    assert item.stac_extensions[0] == MLM_SCHEMA
    assert (FILE_SCHEMA in item.stac_extensions) == local


WRONG = [
    (("properties", "mlm:name"), "-"),
    (("properties", "mlm:tasks"), ["gardening"]),
    (("properties", "mlm:size"), 3),
    (("properties", "mlm:input", 0, "value_scaling"), {"type": "z-score"}),
    (("properties", "mlm:input", 0, "value_scaling", 0, "mean"), "0.4"),
    (("properties", "mlm:input", 0, "resize_type"), "squeeze"),
    (("properties", "mlm:input", 0, "input", "shape"), ["N", 3]),
    (("properties", "mlm:output", 0, "result", "dim_order"), ["Batch"]),
    (("properties", "mlm:hyperparameters"), {}),
    (("properties", "end_datetime"), None),
    (("properties", "sci:doi"), "doi:10"),
    (("assets", "weights", "mlm:artifact_type"), ""),
    (("assets", "weights", "bands"), []),
    (("assets",), {}),
    (("geometry", "type"), "Globe"),
]


@pytest.mark.parametrize(("place", "value"), WRONG, ids=lambda x: str(x)[:40])
def test_a_wrong_field_is_found(validator, place, value):
    record = describe_model(CARD, FACTS).to_dict(transform_hrefs=False)
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(pystac.STACValidationError):
        validator.validate(
            record, pystac.STACObjectType.ITEM, record["stac_version"], record["stac_extensions"]
        )


@pytest.mark.parametrize("kind", FACTS_OF_ALL_KINDS)
def test_the_makers_of_the_extension_read_it_too(kind):
    schema = pytest.importorskip("stac_model.schema")
    properties = describe_model(CARD, FACTS_OF_ALL_KINDS[kind]).properties
    read = schema.MLModelProperties.model_validate(properties)
    assert read.name == "chm-test"
    assert read.tasks == {"regression"}
    (taken,), (given,) = read.input, read.output
    assert list(taken.bands) == ["red", "green", "blue"]
    assert [scaling.mean for scaling in taken.value_scaling] == list(CARD.mean)
    assert [scaling.stddev for scaling in taken.value_scaling] == list(CARD.std)
    assert taken.input.shape == [-1, 3, 256, 256]
    assert given.result.shape == [-1, 256, 256]
    with pytest.raises(ValueError, match="value_scaling"):
        schema.MLModelProperties.model_validate(
            properties | {"mlm:input": [properties["mlm:input"][0] | {"value_scaling": {}}]}
        )


def test_it_tells_what_goes_in_and_what_comes_out():
    model = MLMExtension.ext(describe_model(CARD, FACTS))
    assert model.mlm_name == "chm-test"
    assert model.framework == "PyTorch"
    assert model.total_parameters == 1000
    assert model.memory_size == 4000
    assert model.accelerator == "cuda"
    assert model.accelerator_constrained is False
    (taken,), (given,) = model.input, model.output
    assert "0.6 m per pixel" in taken.description
    assert "divide 8-bit values by 255" in taken.pre_processing_function.expression
    assert "metres, from 0 to 63 m" in given.description
    assert model.hyperparameters.to_dict() == {
        "gsd_m": 0.6,
        "tile_px": 256,
        "overlap_px": 32,
        "multiple_px": 32,
        "maximum_height_m": 63.0,
    }


@pytest.mark.parametrize(
    ("pretrained", "source", "told"),
    [
        (None, None, {}),
        (True, None, {"mlm:pretrained": True}),
        (True, "DINOv2", {"mlm:pretrained": True, "mlm:pretrained_source": "DINOv2"}),
        (False, None, {"mlm:pretrained": False, "mlm:pretrained_source": None}),
    ],
)
def test_what_it_learned_from_before_is_told_as_far_as_known(pretrained, source, told):
    facts = replace(FACTS, pretrained=pretrained, pretrained_source=source)
    properties = describe_model(CARD, facts).properties
    assert {key: properties[key] for key in properties if "pretrained" in key} == told


def test_local_weights_have_size_and_checksum(tmp_path, weights):
    facts = replace(FACTS, weights=weights, weights_url=None)
    asset = describe_model(CARD, facts, tmp_path / "items" / "model.json").assets["weights"]
    assert asset.href == "../models/model.safetensors"
    assert asset.extra_fields["mlm:artifact_type"] == "safetensors.torch.save_file"
    told = FileExtension.ext(asset)
    assert told.size == 7
    assert told.checksum == "1220" + hashlib.sha256(b"weights").hexdigest()
    assert describe_model(CARD, facts).assets["weights"].href == weights.as_posix()


def test_published_weights_are_named_by_their_address(weights):
    asset = describe_model(CARD, replace(FACTS, weights=weights)).assets["weights"]
    assert asset.href == "https://example.org/model.pth"
    assert asset.extra_fields["mlm:artifact_type"] == "torch.save"
    assert FileExtension.ext(asset).size == 7


def test_licence_page_and_paper_are_linked():
    item = describe_model(CARD, FACTS)
    assert item.get_single_link("license").href == "https://example.org/licence"
    assert item.get_single_link("about").href == "https://example.org/model"
    assert item.get_single_link("cite-as").href == "https://doi.org/10.1016/j.rse.2023.113888"
    assert item.properties["sci:doi"] == CHMV1_DOI


@pytest.mark.parametrize(
    ("licence", "told"),
    [("CC-BY-4.0", "CC-BY-4.0"), ("LicenseRef-DINOv3", "LicenseRef-DINOv3"), ("Meta's", "other")],
)
def test_a_licence_is_named_as_stac_names_it(licence, told):
    item = describe_model(replace(CARD, licence=licence), FACTS)
    assert item.properties["license"] == told
    assert item.properties["canopy:licence"] == licence


def test_an_unknown_time_limits_nothing():
    item = describe_model(CARD, FACTS)
    assert item.datetime is None
    assert item.common_metadata.start_datetime == datetime(1900, 1, 1, tzinfo=UTC)
    assert item.properties["end_datetime"] == "9999-12-31T23:59:59Z"
    assert "not where it was tested" in item.properties["canopy:extent"]
    assert item.bbox == [-180, -90, 180, 90]


def test_known_dates_of_the_imagery_are_told():
    hours = timezone(timedelta(hours=2))
    dates = (datetime(2017, 1, 1, 2, tzinfo=hours), datetime(2020, 12, 31, tzinfo=UTC))
    item = describe_model(CARD, replace(FACTS, imagery_dates=dates))
    assert item.properties["start_datetime"] == "2017-01-01T00:00:00Z"
    assert item.properties["end_datetime"] == "2020-12-31T00:00:00Z"


def test_a_model_without_weights_is_refused(tmp_path):
    with pytest.raises(ModelError, match="chm-test has neither a file nor a URL of its weights"):
        describe_model(CARD, replace(FACTS, weights_url=None))
    with pytest.raises(ModelError, match=r"cannot read .*expected the model's weights"):
        describe_model(CARD, replace(FACTS, weights=tmp_path / "none"))
