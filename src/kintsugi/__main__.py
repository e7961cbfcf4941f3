"""``python -m kintsugi`` is ``kt``."""

from __future__ import annotations

from kintsugi.app import main

if __name__ == "__main__":
    main()
