"""Proxy before an API server that imitates faults of servers and networks: errors, delays, cut connections."""

import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support.kubernetes.api_server import ApiServer

FINE, TOO_MANY, BROKEN, SLOW, CUT = "fine", "429", "500", "slow", "cut"


class Proxy:
    """HTTP proxy that forwards requests, with the faults of ``mode``."""

    def __init__(self, server: ApiServer) -> None:
        self.mode = FINE
        self.cuts = 0
        self._to = urlsplit(server.url)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.passed(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the base class

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
                """Log nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign] # closed connections are expected

    @property
    def url(self) -> str:
        """URL of the proxy."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve while the context is entered."""
        thread = threading.Thread(target=self._http.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def passed(self, handler: BaseHTTPRequestHandler) -> None:
        """Forward a request, with the fault of the mode."""
        length = int(handler.headers.get("Content-Length", 0))
        body, mode = handler.rfile.read(length), self.mode
        if mode in {TOO_MANY, BROKEN}:
            handler.send_response(int(mode))
            handler.send_header("Retry-After", "1")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if mode == SLOW:
            time.sleep(2)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        there = http.client.HTTPSConnection(self._to.hostname or "", self._to.port, context=context)
        names = ("Authorization", "Content-Type", "Accept")
        headers = {name: handler.headers[name] for name in names if name in handler.headers}
        try:
            there.request(handler.command, handler.path, body, headers)
            self._answered(handler, there.getresponse())
        finally:
            there.close()
            handler.close_connection = True

    def _answered(self, handler: BaseHTTPRequestHandler, answer: http.client.HTTPResponse) -> None:
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        handler.send_header("Connection", "close")
        handler.end_headers()
        if "watch=true" not in handler.path:
            handler.wfile.write(answer.read())
            return
        for line in answer:
            if self.mode == CUT:
                self.cuts += 1
                handler.wfile.write(line[: len(line) // 2])
                return
            handler.wfile.write(line)
            handler.wfile.flush()
            if self.mode != FINE:
                return
