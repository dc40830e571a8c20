"""A small web server of the standard library: one thread a request, and no log."""

from __future__ import annotations

from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from stagetree.core.errors import StagetreeError

if TYPE_CHECKING:
    from stagetree.search.dashboard import Application


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests that were answered."""


def listen(application: Application, host: str, port: int) -> WSGIServer:
    """Return a server that listens already; ``serve_forever`` answers.

    Args:
        application: The WSGI application.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        StagetreeError: Nobody can listen there.
    """
    try:
        return make_server(host, port, application, server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        raise StagetreeError(
            f"cannot listen on {host}:{port} ({error}); choose another --port, or 0 for any"
        ) from error
