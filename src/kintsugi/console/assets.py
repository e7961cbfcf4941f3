"""Static files, read once, served under an address that changes when any of them does."""

from __future__ import annotations

import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from kintsugi.errors import NotFound

_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class Asset(msgspec.Struct, frozen=True):
    """One file."""

    content: bytes
    media_type: str


class Assets:
    """Every file below ``static``; nothing else can be asked for."""

    def __init__(self) -> None:
        self._files = dict(_read(files("kintsugi.console") / "static", ""))
        whole = hashlib.sha256()
        for name in sorted(self._files):
            whole.update(name.encode() + b"\0" + self._files[name].content)
        self.version = whole.hexdigest()[:12]

    def address(self, name: str) -> str:
        """Where the page finds a file; it may be cached for ever.

        Raises:
            NotFound: there is no such file.
        """
        self.get(name)
        return f"/static/{self.version}/{name}"

    def get(self, name: str) -> Asset:
        """One file.

        Raises:
            NotFound: there is no such file.
        """
        try:
            return self._files[name]
        except KeyError:
            raise NotFound(f'there is no file "{name}"') from None


def _read(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        else:
            found.append((name, Asset(entry.read_bytes(), _media_type(name))))
    return found


def _media_type(name: str) -> str:
    suffix = f".{name.rpartition('.')[2]}"
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain; charset=utf-8"
