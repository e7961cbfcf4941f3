"""The package's own text is the map of its files."""

from __future__ import annotations

import re
from pathlib import Path

from kintsugi import gateway


def test_the_package_names_each_of_its_files_once() -> None:
    text = gateway.__doc__ or ""
    folder = Path(str(gateway.__file__)).parent
    files = sorted(path.stem for path in folder.iterdir() if not path.name.startswith("_"))
    assert sorted(re.findall(r"``(\w+)``", text)) == files
