"""The web server on this machine to which a browser brings the code of a login (OAuth)."""

import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from mastostream.exceptions import FatalError, RetriableError

__all__ = ["Callback"]

PATIENCE_S: Final = 300.0
"""How long a login waits for the browser."""

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>mastostream</title></head>
<body><p>{}</p></body></html>
"""


class Callback:
    """Listens on the loopback while the ``with`` block lasts (RFC 8252, section 7.3).

    Attributes:
        url: the redirect URI, to which the browser is sent after the login.
    """

    def __init__(self, state: str) -> None:
        """Open a free port; requests are served inside the ``with`` block only.

        Args:
            state: the random text of this login; a request without it is refused.
        """
        self._state = state
        self._answered = threading.Event()
        self._code: str | None = None
        # One thread per connection: a browser may open connections that it never uses.
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="callback", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def wait(self, patience_s: float = PATIENCE_S) -> str:
        """Wait for the browser, and return the code that it brings.

        Raises:
            RetriableError: no browser came within ``patience_s`` seconds.
            FatalError: the user did not allow the login.
        """
        if not self._answered.wait(patience_s):
            raise RetriableError(
                "no browser has brought an answer: try again, or on a machine without a browser "
                "with --no-browser"
            )
        if self._code is None:
            raise FatalError("the login was not allowed: run the command again to allow it")
        return self._code

    def _take(self, query: str) -> bool:
        """Take the code from a query if it belongs to this login; only the first one counts."""
        values = {name: texts[0] for name, texts in parse_qs(query).items()}
        ours = secrets.compare_digest(values.get("state", "").encode(), self._state.encode())
        if not ours or not {"code", "error"} & values.keys():
            return False
        if not self._answered.is_set():
            self._code = values.get("code")
            self._answered.set()
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                taken = address.path == "/" and take(address.query)
                text = (
                    "Done: go back to the terminal." if taken else "This is no answer to a login."
                )
                page = _PAGE.format(text).encode()
                self.send_response(200 if taken else 400)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                pass  # the address holds the code

        return Handler
