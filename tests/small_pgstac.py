"""A real STAC API on this machine: stac-fastapi over PostgreSQL with pgstac."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from small_products import until

PYTHON = "CANOPY_PGSTAC_PYTHON"
"""Environment variable that names a Python which has stac-fastapi.pgstac and pypgstac."""

OWNER = "postgres"
"""Who runs the database where the tests are run by root, which PostgreSQL refuses."""


def lacking():
    """Return what of the server is not on this machine, in words; None where all is."""
    if not os.environ.get(PYTHON):
        return f"{PYTHON} names no Python with stac-fastapi.pgstac"
    if binaries() is None:
        return "PostgreSQL's initdb and postgres are not found"
    return None


def binaries():
    """Return the folder of PostgreSQL's programs, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((each for each in folders if (each / "postgres").exists()), None)


@dataclass
class PgStac:
    """A database with a catalog.

    Attributes:
        environment: by which its programs find it.
    """

    environment: dict[str, str]

    def call(self, *command):
        """Run a module of the server's Python."""
        subprocess.run(
            [os.environ[PYTHON], "-m", *command], env=self.environment, check=True,
            capture_output=True,
        )  # fmt: skip

    def load(self, folder, kind, records):
        """Load ``collections`` or ``items``."""
        path = Path(folder) / f"{kind}.ndjson"
        path.write_text("\n".join(map(json.dumps, records)))
        self.call("pypgstac.pypgstac", "load", kind, str(path), "--method", "insert")

    @contextmanager
    def api(self, **settings):
        """Serve the catalog, and lend its URL."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [
            os.environ[PYTHON], "-m", "uvicorn", "stac_fastapi.pgstac.app:create_app", "--factory",
            "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
        ]  # fmt: skip
        with running(command, self.environment | settings) as process:
            until(lambda: answers(url), process)
            yield url


@contextmanager
def pgstac():
    """Run a database of its own, with an empty catalog."""
    programs, port = binaries(), str(free_port())
    as_owner = {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pgstac-") as folder:
        if as_owner:
            shutil.chown(folder, OWNER, OWNER)
        data = f"{folder}/data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "-N"],
            check=True, capture_output=True, cwd=folder, **as_owner,
        )  # fmt: skip
        server = [programs / "postgres", "-D", data, "-p", port, "-k", folder, "-h", "127.0.0.1"]
        at = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": OWNER, "PGPASSWORD": "none"}
        environment = {"PATH": os.environ["PATH"], "PGDATABASE": OWNER} | at
        ready = [programs / "pg_isready", "-q"]
        with running(server, environment, cwd=folder, **as_owner) as process:
            until(
                lambda: subprocess.run(ready, env=environment, check=False).returncode == 0, process
            )
            made = PgStac(environment)
            made.call("pypgstac.pypgstac", "migrate")
            yield made


@contextmanager
def running(command, environment, **options):
    """Run a server, and end it with the block."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()


def free_port():
    """Return a port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(url):
    """Whether a server answers."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - own
        return response.status == 200
    return False
