"""A model hub of one repository on this machine, as far as `huggingface_hub` asks for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlparse

SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_hub(model: str, folder: Path, claimed_bytes: int | None = None, sha: str = SHA) -> Iterator[str]:
    """Serve `folder` as the hub's `model`; gives the address. claimed_bytes: size it says the weights have. sha: of the
    only commit."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked = urlparse(self.path)
            path = unquote(asked.path).strip("/")
            api = f"api/models/{model}"
            if path == api or path.startswith(f"{api}/revision/"):
                revision = path.removeprefix(api).removeprefix("/revision/") or "main"
                if revision not in ("main", sha):
                    return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                siblings = list(self._siblings("blobs=true" in asked.query.lower()))
                return self._json({"id": model, "modelId": model, "sha": sha, "siblings": siblings})
            if path.startswith(f"{api}/tree/"):
                return self._json([{"type": "file", "oid": "0" * 40, **entry} for entry in self._tree()])
            name = path.removeprefix(f"{model}/resolve/").partition("/")[2]
            if path.startswith(f"{model}/resolve/") and name in files:
                return self._send(200, files[name], {"ETag": f'"{self._tag(name)}"', "X-Repo-Commit": sha})
            code = "EntryNotFound" if path.startswith(model) else "RepoNotFound"
            return self._send(404, b"{}", {"X-Error-Code": code})

        def _tree(self) -> Iterator[dict]:
            for name, content in files.items():
                claimed = claimed_bytes if claimed_bytes and name.endswith(".safetensors") else len(content)
                yield {"path": name, "size": claimed}

        def _siblings(self, with_blobs: bool) -> Iterator[dict]:
            for entry in self._tree():
                name, size = entry["path"], entry["size"]
                said = {"size": size, "blobId": self._tag(name)} if with_blobs else {}
                if with_blobs and name.endswith(".safetensors"):
                    said |= {"blobId": "0" * 40, "lfs": {"sha256": self._tag(name), "size": size, "pointerSize": 135}}
                yield {"rfilename": name, **said}

        def _tag(self, name: str) -> str:
            return hashlib.sha256(files[name]).hexdigest()

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)  # seconds until it sees that it is to end
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
