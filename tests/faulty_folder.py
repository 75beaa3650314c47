"""A server of a folder that sends parts of files; it fails or waits as it is told, file by file."""

from __future__ import annotations

import functools
import http.server
import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from small_server import Server

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Gate:
    """A file whose answers wait.

    Attributes:
        when: asked at each request: answers before that do not wait.
        reached: somebody waits for the file.
        open: it is sent.
        ports: of those who wait, in the order in which they came.
    """

    when: Callable[[], object]
    reached: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)
    ports: list[int] = field(default_factory=list)


@dataclass
class FaultyFolder:
    """What is wrong with the files of a server, and what was asked of it.

    A fault is a status such as "503"; "cut", half of the body and the end of the connection;
    "mute", no answer at all; "stall", half of the body and silence.

    Attributes:
        url: where it is served.
        faults: by the name of a file, one for each of its next answers; None for a true one.
        always: by name, what is wrong with all answers after those.
        asked: names of the files of all requests.
        failed: (name, fault) of all answers that were wrong.
    """

    url: str = ""
    faults: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    always: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    gates: dict[str, Gate] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, name):
        """Return what is wrong with the next answer."""
        with self.lock:
            self.asked.append(name)
            fault = self.faults[name].pop(0) if self.faults[name] else self.always.get(name)
            if fault:
                self.failed.append((name, fault))
            return fault

    @contextmanager
    def gate(self, name, when=lambda: True):
        """Let whoever asks for a file wait until the gate is opened, or the block ends."""
        gate = self.gates[name] = Gate(when)
        try:
            yield gate
        finally:
            self.gates.pop(name)
            gate.open.set()


class FaultyServer(Server):
    """Sends files, or does what is wrong with them."""

    def answer(self, *, body):
        folder, name = self.server.folder, self.path.lstrip("/")
        gate = folder.gates.get(name)
        if gate and not gate.open.is_set() and gate.when():
            gate.ports.append(self.client_address[1])
            gate.reached.set()
            gate.open.wait()
        fault = folder.fault_of(name) if body else None
        try:
            if fault is None:
                super().answer(body=body)
            elif fault.isdigit():
                self.send_error(int(fault))
            elif fault == "mute":
                folder.ended.wait()
            else:
                self.half(body=body)
                if fault == "stall":
                    folder.ended.wait()
        except ConnectionError:  # whoever asked is dead, or has lost patience
            pass
        self.close_connection = True

    def half(self, *, body):
        """Send a true head and half of the body."""
        whole = self.wfile
        self.wfile = Half(whole)
        try:
            super().answer(body=body)
        finally:
            self.wfile = whole


class Half:
    """Writes half of a body; headers, which end in an empty line, are written whole."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        whole = data.endswith(b"\r\n\r\n")
        self.file.write(data if whole else data[: len(data) // 2])
        self.file.flush()


@contextmanager
def serving_faultily(path):
    """Lend a server of a folder, whose faults can be changed while it is served."""
    handler = functools.partial(FaultyServer, directory=str(path))
    folder = FaultyFolder()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.folder, server.daemon_threads, server.block_on_close = folder, True, False
        folder.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield folder
        finally:
            folder.ended.set()
            for gate in folder.gates.values():
                gate.open.set()
            server.shutdown()
            thread.join()
