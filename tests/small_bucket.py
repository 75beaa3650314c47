"""An S3 server of this machine with one bucket, for tests."""

from __future__ import annotations

from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

from geo.stores.bucket_store import filesystem

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


@contextmanager
def s3_server(monkeypatch):
    """Start a server with the bucket ``maps`` and lead this process to it; yield its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name, value in KEYS.items() | {("AWS_ENDPOINT_URL", url)}:
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    filesystem.cache_clear()
    try:
        boto3.client("s3").create_bucket(Bucket="maps")
        yield url
    finally:
        server.stop()
        filesystem.cache_clear()


def gdal_options(url):
    """Return what leads GDAL to the server."""
    return {  # it finds the keys in the environment
        "AWS_S3_ENDPOINT": url.removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "CPL_VSIL_CURL_NON_CACHED": "/vsis3/maps",
    }
