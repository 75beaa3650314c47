"""Plots are found wherever a folder leads, and told apart by their names."""

from __future__ import annotations

import pytest

from canopy.chips.pairing import find_pairs
from canopy.errors import SettingsError


def make_plot(folder, image="rgb.tif", heights="chm.tif"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in (image, heights):
        (folder / name).touch()
    return f"{folder / image}={folder / heights}"


def named(*sources):
    return [(pair.site, pair.name) for pair in find_pairs(list(map(str, sources)))]


def test_plots_behind_links_are_found_once(tmp_path):
    make_plot(tmp_path / "elsewhere/SITE/A")
    make_plot(tmp_path / "plots/SITE/B")
    (tmp_path / "plots/LINKED").symlink_to(tmp_path / "elsewhere/SITE")
    (tmp_path / "plots/SITE/round").symlink_to(tmp_path / "plots")
    pairs = find_pairs([str(tmp_path / "plots")])
    assert [(pair.site, pair.name) for pair in pairs] == [
        ("LINKED", "LINKED-A"),
        ("SITE", "SITE-B"),
    ]


def test_a_folder_without_plots_is_said(tmp_path):
    with pytest.raises(SettingsError, match="expected"):
        find_pairs([str(tmp_path)])


def test_images_that_are_called_alike_are_named_by_their_folders(tmp_path):
    first, second = make_plot(tmp_path / "S/A"), make_plot(tmp_path / "S/B", "Imagery.tif")
    assert named(first, second) == [("S", "A"), ("S", "B")]
    assert named(second, first) == [("S", "A"), ("S", "B")]
    assert named(second) == [("S", "B")]


def test_a_table_of_files_alone_is_enough(tmp_path):
    make_plot(tmp_path / "S/A")
    make_plot(tmp_path / "S/B")
    table = tmp_path / "S/pairs.csv"
    table.write_text("image,heights\nA/rgb.tif,A/chm.tif\nB/rgb.tif,B/chm.tif\n")
    assert named(table) == [("S", "A"), ("S", "B")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("written", ["image,heights,site", "image;heights;site"])
def test_a_table_from_a_spreadsheet_is_read(tmp_path, encoding, written):
    make_plot(tmp_path / "Wälder/A")
    row = written.replace("image", "Wälder/A/rgb.tif").replace("heights", "Wälder/A/chm.tif")
    (tmp_path / "pairs.csv").write_bytes(f"{written}\r\n{row}\r\n".encode(encoding))
    assert named(tmp_path / "pairs.csv") == [("site", "A")]


def test_a_name_of_its_own_is_kept_unless_another_plot_has_it(tmp_path):
    north = make_plot(tmp_path / "A", "north.tif")
    assert named(north, make_plot(tmp_path / "A", "south.tif")) == [("A", "north"), ("A", "south")]
    other = make_plot(tmp_path / "B", "north.tif")
    assert named(other, north) == [("A", "A-north"), ("B", "B-north")]


def test_plots_of_one_name_are_refused_and_told_how_to_name_them_apart(tmp_path):
    first, second = make_plot(tmp_path / "2018/A"), make_plot(tmp_path / "2020/A")
    with pytest.raises(SettingsError, match=r"called A: .* column name of a CSV table") as raised:
        named(first, second)
    assert "\n" not in str(raised.value)
    table = tmp_path / "pairs.csv"
    rows = [f"{year}/A/rgb.tif,{year}/A/chm.tif" for year in (2018, 2020)]
    table.write_text(f"image,heights,name\n{rows[0]},old\n{rows[1]},new\n")
    assert named(table) == [("2018", "old"), ("2020", "new")]


def test_a_row_without_heights_is_refused(tmp_path):
    make_plot(tmp_path / "A")
    (tmp_path / "pairs.csv").write_text("image,heights\nA/rgb.tif,A/chm.tif\nA/rgb.tif\n")
    with pytest.raises(SettingsError, match="lacks the image or the heights of row 2"):
        named(tmp_path / "pairs.csv")


def test_of_two_images_in_a_folder_the_first_that_is_documented_counts(tmp_path):
    make_plot(tmp_path / "plots/A", "imagery.tif")
    make_plot(tmp_path / "plots/A", "rgb.tif")
    make_plot(tmp_path / "plots/B", "imagery.tif", "height.tif")
    pairs = find_pairs([str(tmp_path / "plots")])
    assert [pair.image.parent.name + "/" + pair.image.name for pair in pairs] == [
        "A/rgb.tif",
        "B/imagery.tif",
    ]
