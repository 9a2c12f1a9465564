"""Kibana's HTTP API, as far as an import needs it; nothing of Kibana is in it.

It behaves as https://www.elastic.co/docs/api/doc/kibana/v8 says, and as the server's public source
does where that is silent.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
USER, PASSWORD, KEY = "reader", "pä:ss", "a2V5OnNlY3JldA=="
RESOLVABLE = {"conflict", "missing_references"}


class KibanaServer(ThreadingHTTPServer):
    """One Kibana on the loopback.

    Attributes:
        version: what it says it is, to those it knows.
        secured: whether it asks who comes.
        may_import: whether those it knows may.
        spaces: the ids of its spaces.
        known: the newest version of each type that it can take.
        objects: what was imported: space, type and id to the object.
        broken: type and id to the message with which it refuses that object.
        answers: overrides, by path: a status, a body and headers.
        asked: method, path, query and headers of each request.
        base_path: under which it is served.
    """

    def __init__(self, base_path: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.base_path = base_path
        self.url = f"http://127.0.0.1:{self.server_port}{base_path}"
        self.version = "8.17.4"
        self.secured = False
        self.may_import = True
        self.spaces = {"default"}
        self.known = {
            "index-pattern": (8, 0, 0),
            "lens": (8, 9, 0),
            "search": (10, 5, 0),
            "dashboard": (10, 2, 0),
        }
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.broken: dict[tuple[str, str], str] = {}
        self.answers: dict[str, tuple[int, bytes, Mapping[str, str]]] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]], Mapping[str, str]]] = []

    def answer(self, request: "Handler", body: bytes) -> Answer:
        parts = urlsplit(request.path)
        path = parts.path.removeprefix(self.base_path)
        query = parse_qs(parts.query)
        self.asked.append((request.command, path, query, dict(request.headers)))
        if not parts.path.startswith(self.base_path):
            return error(404, "Not Found")
        if request.command == "POST" and not request.headers.get("kbn-xsrf"):
            return error(400, "Request must contain a kbn-xsrf header.")
        known = not self.secured or self.knows(request.headers.get("Authorization", ""))
        if path == "/api/status":
            return 200, self.status(known=known)
        if not known:
            return error(401, "Unauthorized")
        space = "default"
        if path.startswith("/s/"):
            space, _, path = path.removeprefix("/s/").partition("/")
            path = f"/{path}"
        if path.startswith("/api/spaces/space/"):
            id_ = path.rpartition("/")[2]
            return (200, {"id": id_}) if id_ in self.spaces else error(404, "Not Found")
        if request.command == "POST" and path == "/api/saved_objects/_import":
            if not self.may_import:
                return error(403, "Unable to bulk_create dashboard,index-pattern,lens,search")
            overwrite = query.get("overwrite") == ["true"]
            return self.take(space, *upload(request.headers, body), overwrite=overwrite)
        return error(404, "Not Found")

    def knows(self, authorization: str) -> bool:
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return authorization in (f"ApiKey {KEY}", f"Basic {basic}")

    def status(self, *, known: bool) -> dict[str, Any]:
        redacted = {"status": {"overall": {"level": "available"}}}
        version = {"number": self.version, "build_snapshot": False}
        return redacted | ({"name": "k", "version": version} if known else {})

    def take(self, space: str, file: str, content: bytes, *, overwrite: bool) -> Answer:
        if not file.endswith(".ndjson"):
            return error(400, f"Invalid file extension {file}")
        objects = [json.loads(line) for line in content.splitlines()]
        for each in objects:
            version = tuple(map(int, each["typeMigrationVersion"].split(".")))
            if each["type"] in self.known and version > self.known[each["type"]]:
                last = ".".join(map(str, self.known[each["type"]]))
                return error(
                    422,
                    f'Document "{each["id"]}" belongs to a more recent version of Kibana '
                    f"[{each['typeMigrationVersion']}] when the last known version is [{last}].",
                )
        errors = [found for each in objects for found in self.errors(space, each, objects)]
        failed = {(each["type"], each["id"]) for each in errors}
        failed -= {key for key in failed if overwrite and key not in self.broken}
        if overwrite:
            errors = [each for each in errors if each["error"]["type"] != "conflict"]
        taken = [each for each in objects if (each["type"], each["id"]) not in failed]
        if not any(each["error"]["type"] in RESOLVABLE for each in errors):
            for each in taken:
                self.objects[space, each["type"], each["id"]] = each
        answer = {"success": not errors, "successCount": len(taken), "warnings": []}
        return 200, answer | ({"errors": errors} if errors else {})

    def errors(
        self, space: str, each: dict[str, Any], objects: list[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        type_, id_ = each["type"], each["id"]
        found: dict[str, Any]
        there = {(other["type"], other["id"]) for other in objects}
        there |= {(type_, id_) for other, type_, id_ in self.objects if other == space}
        missing = [r for r in each["references"] if (r["type"], r["id"]) not in there]
        if type_ not in self.known:
            found = {"type": "unsupported_type"}
        elif missing:
            found = {"type": "missing_references", "references": missing}
        elif (type_, id_) in self.broken:
            found = {"type": "unknown", "statusCode": 400, "message": self.broken[type_, id_]}
        elif (space, type_, id_) in self.objects:
            found = {"type": "conflict"}
        else:
            return
        yield {"type": type_, "id": id_, "meta": {"title": "t"}, "error": found}


class Handler(BaseHTTPRequestHandler):
    """Hands requests on."""

    server: KibanaServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        path = urlsplit(self.path).path.removeprefix(self.server.base_path)
        if path in self.server.answers:
            status, content, headers = self.server.answers[path]
        else:
            status, value = self.server.answer(self, body)
            content, headers = json.dumps(value).encode(), {"Content-Type": "application/json"}
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def error(status: int, message: str) -> Answer:
    names = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
    return status, {"statusCode": status, "error": names.get(status, "Error"), "message": message}


def upload(headers: Any, body: bytes) -> tuple[str, bytes]:
    """Return name and content of the one file of a form."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + body).get_payload()
    assert isinstance(parts, list)
    (part,) = parts
    assert part.get_param("name", header="content-disposition") == "file"
    content = part.get_payload(decode=True)
    return part.get_filename() or "", content


@contextmanager
def kibana_server(base_path: str = "") -> Iterator[KibanaServer]:
    """Serve until the block ends."""
    server = KibanaServer(base_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
