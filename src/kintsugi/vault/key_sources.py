"""Where key-encryption keys come from: a file, the environment, or a plug-in for a KMS.

A source hands out keys of 32 bytes, once for each start of a process; wrapping happens here. So a
KMS is asked a few times a day and not for every event, and content can be sealed while it is away.
What the database keeps of a key is its id and the reference by which the source finds it again.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from kintsugi.durable import write_whole
from kintsugi.errors import KeyUnavailable
from kintsugi.vault.sealing import KEY_BYTES, key_id

PLUG_INS: Final = "kintsugi.key_sources"


class MadeKey(NamedTuple):
    """A new key, and how its source finds it again; the reference must not tell the key."""

    reference: str
    key: bytes


class KeySource(Protocol):
    """Gives key-encryption keys.

    A plug-in is a callable under the entry point group ``kintsugi.key_sources`` that takes the text
    after the colon of ``KT_VAULT_KEY=name:text`` and returns one of these.
    """

    name: str

    def make(self, known: frozenset[str]) -> MadeKey:
        """A key to begin with, or to change to.

        Args:
            known: ids (``sealing.key_id``) of the keys that were used before.

        Raises:
            KeyUnavailable: there is none to be had.
        """

    def fetch(self, reference: str) -> bytes:
        """A key that ``make`` gave out.

        Raises:
            KeyUnavailable: it is not to be had; the message says where it was looked for.
        """


class FileKeys:
    """Keys in a file that only its owner can read: 64 hexadecimal digits to a line, newest first.

    The file is made on first use. Rotation puts a new line before the others.
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self, known: frozenset[str]) -> MadeKey:
        keys = self._read() if self._path.exists() else []
        for key in keys:
            if key_id(key) not in known:  # put there by hand, or by a start that did not get far
                return MadeKey(key_id(key), key)
        if known and not keys:
            raise KeyUnavailable(
                f"{self._path} is missing, and content is sealed under a key that was in it; "
                "bring the file back, or name where it is with KT_VAULT_KEY=file:PATH"
            )
        key = secrets.token_bytes(KEY_BYTES)
        self._write([key, *keys])
        return MadeKey(key_id(key), key)

    def fetch(self, reference: str) -> bytes:
        keys = self._read()
        for key in keys:
            if key_id(key) == reference:
                return key
        held = ", ".join(key_id(key) for key in keys) or "none"
        raise KeyUnavailable(
            f"key {reference} is not in {self._path}, which holds {held}; bring back the file "
            "that was there when the content was recorded"
        )

    def _read(self) -> list[bytes]:
        try:
            if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
                raise KeyUnavailable(
                    f"{self._path} can be read by others than its owner; run: "
                    f"chmod 600 {self._path}"
                )
            lines = self._path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyUnavailable(f"no key can be read from {self._path}: {error}") from None
        return [_key(line, str(self._path)) for line in lines]

    def _write(self, keys: list[bytes]) -> None:
        """Replace the file whole: with a torn one everything would be lost."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, "".join(f"{key.hex()}\n" for key in keys).encode())
        except OSError as error:
            raise KeyUnavailable(f"no key can be written to {self._path}: {error}") from None


class EnvironmentKeys:
    """Keys in a variable of the environment, newest first, separated by commas or spaces."""

    name = "env"

    def __init__(self, variable: str, environ: Mapping[str, str]) -> None:
        self._variable = variable
        self._environ = environ

    def make(self, known: frozenset[str]) -> MadeKey:
        for key in self._read():
            if key_id(key) not in known:
                return MadeKey(key_id(key), key)
        raise KeyUnavailable(
            f"${self._variable} holds no key that is not in use already; put a new one before it "
            "(64 hexadecimal digits: `openssl rand -hex 32`), and start the server again"
        )

    def fetch(self, reference: str) -> bytes:
        for key in self._read():
            if key_id(key) == reference:
                return key
        raise KeyUnavailable(f"key {reference} is not in ${self._variable}")

    def _read(self) -> list[bytes]:
        words = self._environ.get(self._variable, "").replace(",", " ").split()
        return [_key(word, f"${self._variable}") for word in words]


def key_sources(
    setting: str, *, state_dir: Path, environ: Mapping[str, str]
) -> tuple[KeySource, ...]:
    """The sources that ``KT_VAULT_KEY`` names.

    Args:
        setting: ``file:PATH``, ``env:VARIABLE`` or ``PLUG-IN:TEXT``; several, separated by spaces,
            while keys move from one to another: the first gives new keys, all give old ones. Empty
            for ``vault-key`` in the state folder.

    Raises:
        KeyUnavailable: there is no such source, or its plug-in cannot be loaded.
    """
    words = setting.split() or [f"file:{state_dir / 'vault-key'}"]
    return tuple(_source(word, environ) for word in words)


def _source(setting: str, environ: Mapping[str, str]) -> KeySource:
    name, _, text = setting.partition(":")
    if name == "file" and text:
        return FileKeys(Path(text).expanduser())
    if name == "env" and text:
        return EnvironmentKeys(text, environ)
    found = entry_points(group=PLUG_INS, name=name)
    if not found:
        installed = ", ".join(sorted(entry_points(group=PLUG_INS).names)) or "none"
        raise KeyUnavailable(
            f'KT_VAULT_KEY: "{name}" is no source of keys; use file:PATH, env:VARIABLE or an '
            f"installed plug-in (found: {installed})"
        )
    try:
        source: KeySource = next(iter(found)).load()(text)
    except Exception as error:  # other people's code, at the edge: whatever it is, say whose
        raise KeyUnavailable(
            f'the key plug-in "{name}" cannot be used: {type(error).__name__}: {error}'
        ) from error
    return source


def _key(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyUnavailable(f"{where} holds something that is not 64 hexadecimal digits")
    return key
