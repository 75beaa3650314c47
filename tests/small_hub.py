"""A Hub of models on this machine, with one repository: open, gated or not there."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

OLD, NEW = "1" * 40, "2" * 40
"""Commits: the tag v1, and main."""


@dataclass
class Hub:
    """What the Hub holds and how it answers.

    Attributes:
        files: content by name.
        repo: owner and name.
        main: commit of the branch main.
        refusal: status and X-Error-Code of every answer about files; None when all is well.
        hidden: whether the refusal meets those too who ask what there is.
        given: names of the files whose content was sent.
        asked: number of requests.
    """

    files: dict[str, bytes]
    repo: str = "forest/model"
    main: str = NEW
    refusal: tuple[int, str] | None = None
    hidden: bool = False
    given: list[str] = field(default_factory=list)
    asked: int = 0
    endpoint: str = ""

    def commit(self, revision):
        """Return the commit of a revision, None where there is none."""
        named = {"main": self.main, "v1": OLD}
        return named.get(revision, revision if revision in {OLD, NEW} else None)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does what its client asks before and while it takes files."""

    def log_message(self, *_):
        """Say nothing."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        hub = self.server.hub
        hub.asked += 1
        path = urlsplit(self.path).path
        asks_what = path.startswith("/api/models/")
        path = path.removeprefix("/api/models/").lstrip("/")
        if not path.startswith(hub.repo):
            self.refuse(404, "RepoNotFound")
        elif hub.refusal and (hub.hidden or not asks_what):
            self.refuse(*hub.refusal)
        else:
            _, kind, revision, *name = (path.removeprefix(hub.repo) + "///").split("/", 3)
            commit = hub.commit(revision or "main")
            if commit is None:
                self.refuse(404, "RevisionNotFound")
            elif asks_what:
                self.tell(hub, kind, commit)
            else:
                self.send_file(hub, name[0].strip("/"), commit, body=body)

    def tell(self, hub, kind, commit):
        tree = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            for name, content in hub.files.items()
        ]
        siblings = [{"rfilename": name} for name in hub.files]
        told = {"id": hub.repo, "sha": commit, "siblings": siblings}
        content = json.dumps(tree if kind == "tree" else told).encode()
        self.reply(200, content, {"Content-Type": "application/json"})

    def send_file(self, hub, name, commit, *, body):
        content = hub.files[name]
        digest = hashlib.sha256(content).hexdigest()
        if body:
            hub.given.append(name)
        self.reply(
            200,
            content if body else b"",
            {"ETag": f'"{digest}"', "X-Repo-Commit": commit, "Content-Length": str(len(content))},
        )

    def refuse(self, status, code):
        self.reply(status, b"", {"X-Error-Code": code, "X-Error-Message": "No."})

    def reply(self, status, body, headers):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def small_hub(files, **choices):
    """Lend a Hub that can be changed while it is served."""
    hub = Hub(files, **choices)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.hub = hub
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
