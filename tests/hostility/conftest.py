"""A whole instance with canary secrets in it, a model provider that keeps what it got, and a place
on the network that nobody may ever call."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.acceptance.conftest import Instance, new_instance

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "fine"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass
class Got:
    """One request as a server received it."""

    target: str
    headers: dict[str, str]
    body: bytes


class Server:
    """A server that keeps every request."""

    def __init__(self) -> None:
        self.requests: list[Got] = []
        kept = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                kept.append(Got(self.path, headers, body))
                answer = json.dumps(ANSWER).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST  # noqa: N815  # the name that http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Target:
    """What the probes are fired at.

    Attributes:
        provider: the configured model provider.
        forbidden: a listener that is no configured upstream.
        provider_secret, caller_key: the canaries.
    """

    instance: Instance
    provider: Server
    forbidden: Server
    provider_secret: str
    caller_key: str
    sent_before: int = field(default=0)

    def raw(self, data: bytes, *, to: str = "gateway") -> bytes:
        """Send bytes as they are; everything that comes back until the connection ends or 2 s."""
        url = self.instance.gateway_url if to == "gateway" else self.instance.api_url
        host, port = url.removeprefix("http://").rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.sendall(data)
            said = b""
            try:
                while chunk := connection.recv(65_536):
                    said += chunk
            except TimeoutError:
                pass
            return said

    @property
    def headers(self) -> dict[str, str]:
        """Of a caller who may call."""
        return {"Authorization": f"Bearer {self.caller_key}"}


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One instance for all probes."""
    provider, forbidden = Server(), Server()
    provider_secret = f"sk-canary-{secrets.token_hex(16)}"
    caller_key = f"kt-canary-{secrets.token_hex(16)}"
    file = tmp_path_factory.mktemp("hostility") / "policy-config.yaml"
    file.write_text(
        json.dumps(
            {
                "pack": {"name": "hostility", "version": "1.0.0", "enabled": True},
                "gateway": {
                    "keys": [
                        {
                            "name": "probe",
                            "sha256": hashlib.sha256(caller_key.encode()).hexdigest(),
                        }
                    ]
                },
                "providers": {
                    "targets": [
                        {
                            "id": "real",
                            "provider": "openai",
                            "model": "m",
                            "base_url": f"http://127.0.0.1:{provider.port}/v1",
                            "allow_private_network": True,
                            "secret_key_ref": {"env": "CANARY_PROVIDER_KEY"},
                        }
                    ]
                },
                "policies": {"chain": ["prompt-injection", "secrets-detector", "audit-logger"]},
                "policy": {"prompt-injection": {}, "secrets-detector": {}, "audit-logger": {}},
            }
        )
    )
    with new_instance("--policy-config", str(file), "--no-simulate") as instance:
        instance.environ["CANARY_PROVIDER_KEY"] = provider_secret
        instance.start_and_publish()
        yield Target(instance, provider, forbidden, provider_secret, caller_key)
    provider.close()
    forbidden.close()
