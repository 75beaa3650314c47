"""Decoders and heads are found by their names, and unknown names are told the choices."""

from __future__ import annotations

import pytest

from decoders import DecoderSettings, HeadSettings, Levels, decoder_settings, head_settings, kinds
from decoders.catalogue import HEADS, build_head

LEVELS = Levels((24,) * 4, (16,) * 4, (True,) * 4)


def test_names_are_those_that_users_type():
    assert list(kinds(DecoderSettings)) == ["dpt", "linear", "unet", "fpn", "upernet", "smp-dpt"]
    assert list(kinds(HeadSettings)) == ["bins", "regression"]
    assert list(HEADS) == ["bins", "bins-mixlog", "regression"]


@pytest.mark.parametrize("name", kinds(DecoderSettings))
def test_a_decoder_goes_by_its_name_and_says_what_it_takes_and_gives(name):
    settings = decoder_settings(name, LEVELS)
    assert settings.kind == name
    assert settings.in_channels == LEVELS.channels
    decoder = settings.build()
    assert decoder.out_channels == settings.head_channels
    assert decoder.multiple_px in {16, 32}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_knows_its_highest_height(name):
    settings = head_settings(name)
    assert settings.maximum_m in {96, 100}
    assert build_head(settings, 4).settings is settings


def test_unknown_names_are_told_the_choices():
    with pytest.raises(ValueError, match="no decoder pspnet: expected one of dpt, linear, unet"):
        decoder_settings("pspnet", LEVELS)
    with pytest.raises(ValueError, match="no head median: expected one of bins, bins-mixlog, reg"):
        head_settings("median")
