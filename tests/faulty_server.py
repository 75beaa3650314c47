"""A server of one file, on this machine, that fails in the ways that servers and networks do."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

PAGE = b"<!DOCTYPE html><html><body>Log in to the network</body></html>"


@dataclass
class Fault:
    """What one answer does wrong.

    Attributes:
        status: this status and a short page instead of the file.
        after: the connection drops when so many bytes of the body were sent.
        stall: nothing more comes instead of the drop.
        trickle: the rest comes in pieces of so many bytes, one every 20 ms, instead of the drop.
        page: a web page with status 200; its content type.
        location: a redirect to there.
        whole: the range is ignored.
        careless: the range is answered whatever If-Range says.
        shifted: another range is sent than the one asked for.
        most: of a range, no more than so many bytes are sent, as the answer says.
    """

    status: int | None = None
    after: int | None = None
    stall: bool = False
    trickle: int | None = None
    page: str | None = None
    location: str | None = None
    whole: bool = False
    careless: bool = False
    shifted: bool = False
    most: int | None = None


@dataclass
class FaultyFile:
    """A file on a server, and what was asked of it.

    Attributes:
        body: the bytes.
        etag: sent and compared; None for a server without.
        faults: one for each of the next answers; then `always`, if any.
        asked: the Range of every request, "" for the whole.
        told: the Authorization of every request, None without.
        sent: bytes of the body that were written, over all answers.
    """

    body: bytes
    etag: str | None = '"one"'
    faults: list[Fault] = field(default_factory=list)
    always: Fault = field(default_factory=Fault)
    asked: list[str] = field(default_factory=list)
    told: list[str | None] = field(default_factory=list)
    sent: int = 0
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the file of the server, or with the next fault."""

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        file = self.server.file
        file.asked.append(self.headers.get("Range", ""))
        file.told.append(self.headers.get("Authorization"))
        fault = file.faults.pop(0) if file.faults else file.always
        if fault.location:
            self.reply(302, b"", {"Location": fault.location})
        elif fault.status:
            self.reply(fault.status, b"<Error>no</Error>", {"Content-Type": "application/xml"})
        elif fault.page:
            self.reply(200, PAGE, {"Content-Type": fault.page})
        else:
            self.send_file(file, fault)

    def send_file(self, file, fault):
        start = self.start_of_range(file, fault)
        if start is None:
            self.reply(200, file.body, {}, fault)
        elif start >= len(file.body):
            self.reply(416, b"", {"Content-Range": f"bytes */{len(file.body)}"})
        else:
            start += 3 if fault.shifted else 0
            body = file.body[start:][: fault.most]
            told = {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{len(file.body)}"}
            self.reply(206, body, told, fault)

    def start_of_range(self, file, fault):
        asked = self.headers.get("Range")
        if not asked or fault.whole:
            return None
        same = self.headers.get("If-Range") == file.etag
        return int(asked.removeprefix("bytes=").rstrip("-")) if same or fault.careless else None

    def reply(self, status, body, headers, fault=None):
        file = self.server.file
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **headers}
        if fault and file.etag:
            headers["ETag"] = file.etag
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        part = body if fault is None or fault.after is None else body[: fault.after]
        # Counted before it is sent: who has it all may look at the count at once.
        counted = len(part) if fault else 0
        file.sent += counted
        try:
            self.wfile.write(part)
            self.wfile.flush()
        except ConnectionError:
            file.sent -= counted
            return
        if fault and fault.stall:
            file.ended.wait(10)
        if fault and fault.trickle:
            self.trickle(body[len(part) :], fault.trickle)

    def trickle(self, rest, size):
        for start in range(0, len(rest), size):
            if self.server.file.ended.wait(0.02):
                return
            try:
                self.wfile.write(rest[start : start + size])
            except ConnectionError:
                return


@contextmanager
def serving_badly(body, **choices):
    """Lend a file on a server, which can be changed while it is served."""
    file = FaultyFile(body, **choices)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.file = file
        file.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield file
        file.ended.set()
        server.shutdown()
        thread.join()
