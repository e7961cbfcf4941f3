"""What a request to change something may carry besides its body: the version that it was made from,
and that nothing shall be stored."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict

from kintsugi.errors import InvalidInput

IfMatch = Annotated[
    str | None,
    Header(description="The ETag of the version that this change was made from.", max_length=64),
]


class DryRunQuery(BaseModel):
    """Whether to only say what would happen."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


DryRun = Annotated[DryRunQuery, Query()]


def etag(version: int) -> str:
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """The version in an If-Match header; ``*`` and none at all expect nothing in particular."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = re.fullmatch(r'\s*"([0-9]{1,9})"\s*', if_match)
    if tag is None:
        raise InvalidInput(f"header If-Match: send one ETag as it was given, not {if_match!r}")
    return int(tag[1])
