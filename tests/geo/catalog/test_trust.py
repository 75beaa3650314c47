"""Where a catalog may point: what an attacker writes is refused, what catalogs write is not."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.catalog.errors import UntrustedHrefError
from geo.catalog.trust import Place, place_of, trusted_href

PUBLIC = "https://stac.example.com/v1/items/a.json"

FILES = [
    "file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "/etc/passwd", "/vsizip//x.zip",
    "/vsicurl/http://127.0.0.1/a.tif", "/vsistdin/", "//127.0.0.1/a.tif", "C:/a.tif", r"C:\a.tif",
    r"\\host\share\a.tif", r"..\..\a.tif", "~/a.tif", " /etc/passwd", "\tfile:///etc/passwd",
]  # fmt: skip
LOOPBACKS = [
    "http://127.0.0.1/", "http://127.1/", "http://0x7f.1/", "http://2130706433/", "http://0177.0.0.1/",
    "http://localhost:8080/", "http://LOCALHOST./", "http://a.localhost/", "http://0.0.0.0/", "http://0/",
    "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/", "https://user:key@127.0.0.1/", "https://stac.example.com@127.0.0.1/",
]  # fmt: skip
LINK_LOCALS = [
    "http://169.254.169.254/latest/meta-data/", "http://0xa9fea9fe/", "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/", "http://metadata.google.internal/", "http://[::ffff:169.254.169.254]/",
]  # fmt: skip
PRIVATES = [
    "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://[fd00::1]/",
    "http://100.64.0.1/", "http://intranet/", "http://nas.local/", "http://db.corp.internal/",
    "http://224.0.0.1/", "http://255.255.255.255/",
]  # fmt: skip
ODD = [
    "ftp://example.com/a.tif", "gopher://example.com/", "data:text/plain,a", "javascript:alert(1)",
    "http:///a.tif", "http://", "http://%31%32%37.0.0.1/", "http://\uff11\uff12\uff17.0.0.1/",
    "http://a b/",
    "http:\\\\127.0.0.1\\a", "http://example.com\\@127.0.0.1/", "http://example.com:port/",
    "http://[::g]/", "https://ex\nample.com/", "s3:///key",
]  # fmt: skip


@pytest.mark.parametrize("href", [*FILES, *LOOPBACKS, *LINK_LOCALS, *PRIVATES, *ODD])
def test_a_public_catalog_points_at_public_servers_alone(href):
    with pytest.raises(UntrustedHrefError) as refusal:
        trusted_href(href, catalog=PUBLIC)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("hrefs", "place"),
    [(LOOPBACKS, Place.LOOPBACK), (LINK_LOCALS, Place.LINK_LOCAL), (PRIVATES, Place.PRIVATE)],
)
def test_a_host_is_placed_whatever_its_spelling(hrefs, place):
    assert {place_of(href) for href in hrefs} == {place}


@pytest.mark.parametrize(
    ("href", "whole"),
    [
        ("./b.tif", "https://stac.example.com/v1/items/b.tif"),
        ("../b.tif?x=1", "https://stac.example.com/v1/b.tif?x=1"),
        ("../../../../../etc/passwd", "https://stac.example.com/etc/passwd"),
        ("b.tif", "https://stac.example.com/v1/items/b.tif"),
        ("s3://bucket/b.tif", "s3://bucket/b.tif"),
        ("https://8.8.8.8/b c.tif", "https://8.8.8.8/b c.tif"),
        (
            "https://naipeuwest.blob.core.windows.net/b",
            "https://naipeuwest.blob.core.windows.net/b",
        ),
    ],
)
def test_what_catalogs_write_is_made_whole(href, whole):
    assert trusted_href(href, catalog=PUBLIC) == whole


def test_a_relative_path_in_a_bucket_stays_in_it():
    base = "s3://bucket/a/item.json"
    assert trusted_href("../b.tif", catalog=base) == "s3://bucket/b.tif"


def test_the_document_of_a_relative_path_must_be_trusted_too():
    for base in ("http://127.0.0.1/item.json", "/home/me/item.json", "file:///home/me/item.json"):
        with pytest.raises(UntrustedHrefError):
            trusted_href("b.tif", catalog=PUBLIC, base=base)


@pytest.mark.parametrize(
    ("catalog", "near", "far"),
    [
        ("http://127.0.0.1:1/", LOOPBACKS, [*FILES, *LINK_LOCALS, *PRIVATES]),
        ("http://169.254.1.1/", LINK_LOCALS, [*FILES, *LOOPBACKS, *PRIVATES]),
        ("http://10.1.1.1/", PRIVATES, [*FILES, *LOOPBACKS, *LINK_LOCALS]),
    ],
)
def test_a_catalog_may_point_where_it_came_from(catalog, near, far):
    for href in [*near, "https://example.com/a.tif"]:
        assert trusted_href(href, catalog=catalog) == href
    for href in far:
        with pytest.raises(UntrustedHrefError):
            trusted_href(href, catalog=catalog)


def test_a_catalog_on_disk_may_point_at_files(tmp_path):
    catalog = tmp_path / "items" / "catalog.json"
    whole = trusted_href("../b.tif", catalog=str(catalog))
    assert whole == str(tmp_path / "items" / "../b.tif")
    assert trusted_href("/data/a b.tif", catalog=catalog.as_uri()) == "/data/a b.tif"
    assert trusted_href("file:///data/a%20b.tif", catalog=str(catalog)) == "/data/a b.tif"
    assert trusted_href("http://localhost/a", catalog=str(catalog)) == "http://localhost/a"


def test_a_user_may_trust_a_catalog_wherever_it_points():
    for href in ("/data/a.tif", "http://127.0.0.1/a.tif", "http://169.254.169.254/"):
        assert trusted_href(href, catalog=PUBLIC, allow_local=True) == href
    assert trusted_href("file:///data/a.tif", catalog=PUBLIC, allow_local=True) == "/data/a.tif"


def spellings(address):
    """Return an IPv4 address as libraries read it."""
    number = int(address)
    a, rest = number >> 24, number & 0xFFFFFF
    return st.sampled_from([
        str(address), str(number), hex(number), f"{a}.{rest}", f"{hex(a)}.{rest}", f"0{a:o}.{rest}",
        f"[::ffff:{address}]", f"[64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}]", f"{address}.",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]",
    ])  # fmt: skip


@given(st.ip_addresses(v=4).flatmap(lambda ip: st.tuples(st.just(ip), spellings(ip))))
def test_no_spelling_hides_an_address(pair):
    address, host = pair
    public = ipaddress.ip_address(address).is_global and not address.is_multicast
    assert (place_of(f"http://{host}/a") is Place.PUBLIC) == public


@given(
    st.ip_addresses(v=4, network="127.0.0.0/8").flatmap(spellings)
    | st.ip_addresses(v=4, network="169.254.0.0/16").flatmap(spellings)
    | st.ip_addresses(v=4, network="192.168.0.0/16").flatmap(spellings),
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["", "user@", "example.com:x@"]),
    st.sampled_from(["", ":80"]),
)
def test_inner_addresses_are_always_refused(host, scheme, user, port):
    with pytest.raises(UntrustedHrefError):
        trusted_href(f"{scheme}://{user}{host}{port}/a.tif", catalog=PUBLIC)


@given(st.text() | st.text(alphabet="./\\:@%#?~ filehtps0127[]\n\t", max_size=30))
def test_whatever_is_written_leads_to_a_public_server_or_is_refused(href):
    try:
        whole = trusted_href(href, catalog=PUBLIC)
    except UntrustedHrefError:
        return
    parts = urlsplit(whole)
    assert parts.scheme in {"http", "https", "s3", "gs", "az"}
    assert place_of(whole) is Place.PUBLIC
    relative = "://" not in href.partition("?")[0]
    assert not relative or parts.netloc == "stac.example.com"
