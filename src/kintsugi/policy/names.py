"""Sets of names, written as globs: ``code_*``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import re2


class Names:
    """Names that are in a set: ``*`` stands for any characters, ``?`` for one.

    Args:
        loose: take look-alike spellings too (case, blanks around it, full-width letters,
            invisible characters). For lists of what is refused: a client may forgive a spelling
            that we would not recognise. Lists of what is allowed are taken to the letter.
    """

    def __init__(self, globs: Iterable[str], *, loose: bool = False) -> None:
        written = tuple(_loosened(glob) if loose else glob for glob in globs)
        self._loose = loose
        self._exact = frozenset(name for name in written if not _is_glob(name))
        wild = [name for name in written if _is_glob(name)]
        self._everything = "*" in wild
        self._wild: Any = _compiled(wild) if wild and not self._everything else None

    def __bool__(self) -> bool:
        return self._everything or bool(self._exact) or self._wild is not None

    def __contains__(self, name: str) -> bool:
        if self._everything:
            return True
        if self._loose:
            name = _loosened(name)
        if name in self._exact:
            return True
        return self._wild is not None and self._wild.fullmatch(name) is not None


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def _compiled(globs: Iterable[str]) -> Any:
    """One expression for all of them, matched in time linear in the name."""
    ways = ("".join({"*": ".*", "?": "."}.get(c) or re2.escape(c) for c in glob) for glob in globs)
    options = re2.Options()
    options.dot_nl = True
    return re2.compile("|".join(f"(?:{way})" for way in ways), options)


# Characters that are not seen, which compatibility forms keep.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")


def _loosened(name: str) -> str:
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", name)).strip().casefold()
