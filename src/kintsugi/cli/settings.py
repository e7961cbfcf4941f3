"""Settings of the command line: default < file < environment < flag, read once.

The file is ``config.toml`` in the platform's configuration folder and may hold ``state_dir``,
``api_url`` and ``api_token``. Everything a running ``kt up`` says about itself (``STATE/run``)
counts as a default, so that ``kt`` on the same machine needs no settings at all.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kintsugi.cli.runfile import read_up
from kintsugi.errors import InvalidInput

API_URL_DEFAULT = "http://127.0.0.1:41001"


class SettingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings file may hold; an empty string is no setting."""

    state_dir: str = ""
    api_url: str = ""
    api_token: str = ""


class Settings(msgspec.Struct, frozen=True):
    """What every command needs to know.

    Attributes:
        state: folder with everything that this installation keeps.
        api_token: empty when none is known. Kept out of ``repr``: it must not reach a log.
    """

    state: Path
    api_url: str
    api_token: str

    def __repr__(self) -> str:
        return f"Settings(state={str(self.state)!r}, api_url={self.api_url!r})"


def read_settings(
    environ: Mapping[str, str],
    *,
    state: Path | None = None,
    api_url: str | None = None,
    is_root: bool | None = None,
) -> Settings:
    """Settle every value; flags win.

    Raises:
        InvalidInput: the settings file cannot be used.
    """
    file = _read_file(settings_file(environ))
    root = os.geteuid() == 0 if is_root is None else is_root
    folder = state or _first_path(environ.get("KT_STATE_DIR"), file.state_dir) or _state(root)
    folder = folder.expanduser().absolute()
    running = read_up(folder)
    local_url = running.api_url if running else API_URL_DEFAULT
    address = (
        api_url
        or environ.get("KT_API_URL")
        or environ.get("KEEPTRUSTS_API_URL")
        or file.api_url
        or local_url
    ).rstrip("/")
    token = environ.get("KT_API_TOKEN") or environ.get("API_TOKEN") or file.api_token
    if not token and _same_server(address, local_url):
        # Only then: the token of this machine's server is nothing to send anywhere else.
        token = read_token(folder / "admin-token")
    return Settings(state=folder, api_url=address, api_token=token)


def settings_file(environ: Mapping[str, str]) -> Path:
    """Where the settings file is looked for; it need not exist."""
    if home := environ.get("XDG_CONFIG_HOME"):
        return Path(home) / "kintsugi" / "config.toml"
    from platformdirs import user_config_path  # here: keeps `kt --help` fast

    return user_config_path("kintsugi") / "config.toml"


def read_token(path: Path) -> str:
    """The token in a file; empty when it is not there or not for us to read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return ""


def _read_file(path: Path) -> SettingsFile:
    try:
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return SettingsFile()
    try:
        return msgspec.convert(tomllib.loads(content), SettingsFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(f"{path}: {error}; use state_dir, api_url and api_token") from error


def _state(root: bool) -> Path:
    if root:
        # The database drops to an unprivileged user, which cannot enter /root (DESIGN §9).
        return Path("/var/lib/kintsugi")
    from platformdirs import user_data_path  # here: keeps `kt --help` fast

    return user_data_path("kintsugi")


def _first_path(*candidates: str | None) -> Path | None:
    return next((Path(candidate) for candidate in candidates if candidate), None)


def _same_server(one: str, other: str) -> bool:
    """Whether two URLs name the same local server, ``localhost`` and ``127.0.0.1`` alike."""
    return _plain(one) == _plain(other)


def _plain(url: str) -> str:
    return url.replace("//localhost:", "//127.0.0.1:").replace("//[::1]:", "//127.0.0.1:")
