"""The files of other projects are exactly those that the lock names."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files

VENDOR = files("kintsugi.console") / "static" / "vendor"
LOCK = json.loads((VENDOR / "vendor.lock.json").read_text())


def test_every_vendored_file_is_the_one_in_the_lock() -> None:
    locked = {
        name: digest for package in LOCK["packages"] for name, digest in package["files"].items()
    }
    present = {
        entry.name: "sha256:" + hashlib.sha256(entry.read_bytes()).hexdigest()
        for entry in VENDOR.iterdir()
        if entry.name != "vendor.lock.json"
    }
    assert present == locked


def test_every_package_has_an_exact_version_and_its_licence_text() -> None:
    for package in LOCK["packages"]:
        assert package["version"].count(".") == 2
        assert package["licence"] in {"MIT", "0BSD"}
        assert any("LICENSE" in name for name in package["files"])
