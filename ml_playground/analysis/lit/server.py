"""A server for one machine: what other machines, other pages and other names of this machine ask for is refused."""

import socket
from collections.abc import Iterable, Mapping
from http.client import HTTP_PORT
from importlib import resources
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from ml_playground.errors import PlaygroundError

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")

_ANSWERED = {
    f"/{name}"
    for name in (
        "get_info",
        "get_dataset",
        "get_preds",
        "get_interpretations",
        "get_metrics",
        "get_generated",
        "annotate_new_data",
        "post_new_data",
        "fetch_new_data",
        "remove_new_data",
    )
}
"""What the page needs. LIT's other addresses load and write files and models."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}

_HEADERS = {
    # Part of LIT's page needs `eval`.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Protects an application: serves only files that are known beforehand, and only to pages of this server.

    A page of another origin may have a browser send requests here, and a name of its own may lead to this machine (DNS
    rebinding): the `Host` must be this server, and so must the `Origin` where there is one. No answer has CORS headers,
    without which another origin's page cannot read it.
    """

    def __init__(self, app: WSGIApplication, files: Mapping[str, bytes], port: int) -> None:
        """Serve `files`, by their paths on the server, and of `app` only what the page needs."""
        self._app = app
        self._files = files
        self._hosts = {f"{name}:{port}" for name in _NAMES} | set(_NAMES if port == HTTP_PORT else ())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        origin = request.headers.get("Origin")
        if request.headers.get("Host") not in self._hosts or (
            origin is not None and origin not in {f"http://{host}" for host in self._hosts}
        ):
            response = Response("this server is for its own page only", 403)
        elif (content := self._files.get(request.path)) is not None and request.method in ("GET", "HEAD"):
            response = Response(content, content_type=_TYPES[Path(request.path).suffix or ".html"])
        elif request.path in _ANSWERED and request.method == "POST":
            response = Response.from_app(self._app, environ)
        else:
            response = Response("not found", 404)
        response.headers.extend(_HEADERS)
        return response(environ, start_response)


def page_files(client: Path) -> dict[str, bytes]:
    """Every file that is served, by its path on the server.

    Args:
        client: the folder with LIT's page. Its own index asks other servers for fonts and is replaced.
    """
    files = {
        f"/{path.relative_to(client).as_posix()}": path.read_bytes()
        for path in client.rglob("*")
        if path.suffix in _TYPES and path.suffix != ".html"
    }
    for path in resources.files("ml_playground.analysis.lit").joinpath("page").iterdir():
        if Path(path.name).suffix in _TYPES:
            files[f"/{path.name}"] = path.read_bytes()
    return files | {"/": files["/index.html"]}


def bind(port: int) -> socket.socket:
    """A socket that listens on this machine only; port 0 is any that is free.

    Raises:
        PlaygroundError: the port is taken, or not for this user.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise PlaygroundError(
            f"port {port}: {error.strerror}. Set [lit] port to another, or to 0 for any that is free."
        ) from error
    listening.listen()
    return listening


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing: a page makes dozens of requests."""


def serve(app: WSGIApplication, listening: socket.socket) -> None:
    """Answer requests until the process gets SIGINT."""
    server = make_server(HOST, port_of(listening), app, threaded=True, request_handler=_Quiet, fd=listening.fileno())
    server.serve_forever()  # returns on KeyboardInterrupt


def port_of(listening: socket.socket) -> int:
    """The port of a socket."""
    port: int = listening.getsockname()[1]
    return port
