"""The only module that knows everybody: builds and wires."""

from __future__ import annotations


def main() -> None:
    """Entry point of ``kt``."""
