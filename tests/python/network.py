"""HTTP and the WebSocket of docs/PROTOCOL.md, in both encodings. It knows no cryptography and no state."""

import base64
import json
import socket
import urllib.error
import urllib.request
from typing import Any

import cbor2
from websockets.sync.client import ClientConnection, connect

SECONDS = 10.0


class Problem(Exception):
    """What HTTP answered instead of what was asked for ("Problems")."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')}")
        self.code = body.get("code")
        self.body = body


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(value: bytes | str) -> bytes:
    """Bytes, whichever encoding they came in."""
    return value if isinstance(value, bytes) else base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _plain(value: Any) -> Any:
    """The same with base64url for bytes, for JSON."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


class Http:
    def __init__(self, url: str) -> None:
        self.url = url
        self.token: bytes | None = None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's body. Raises Problem, or OSError if there was no answer."""
        data = None if body is None else json.dumps(_plain(body)).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {text(self.token)}")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read() or b"{}")
                return found
        except urllib.error.HTTPError as refused:
            raise Problem(refused.code, json.loads(refused.read() or b"{}")) from refused


class Socket:
    """One connection. Frames are dictionaries; bytes in them are read with `raw`."""

    def __init__(self, url: str, encoding: str) -> None:
        self.encoding = encoding
        ws = url.replace("http", "ws", 1) + "/v1/ws"
        self.connection: ClientConnection = connect(
            ws,
            subprotocols=[f"hushwire.v1.{encoding}"],  # type: ignore[list-item]
            compression=None,
            open_timeout=SECONDS,
            close_timeout=SECONDS,
            ping_interval=25.0,
            ping_timeout=10.0,
            max_size=96 * 1024,
        )

    def send(self, op: str, fields: dict[str, Any], id_: int | None = None) -> None:
        frame: dict[str, Any] = {} if id_ is None else {"id": id_}
        frame["op"] = {op: fields}
        self.connection.send(cbor2.dumps(frame) if self.encoding == "cbor" else json.dumps(_plain(frame)))

    def receive(self, seconds: float) -> tuple[int | None, str, dict[str, Any]]:
        """(id, op, fields). Raises TimeoutError, or ConnectionClosed."""
        data = self.connection.recv(timeout=max(seconds, 0))
        frame = cbor2.loads(data) if isinstance(data, bytes) else json.loads(data)
        [(op, fields)] = frame["op"].items()
        return frame.get("id"), op, fields

    def cut(self) -> None:
        """Ends it without a word, as a network does."""
        self.connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.connection.close()
