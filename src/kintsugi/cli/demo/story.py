"""The story in the order in which it happens."""

from __future__ import annotations

from collections.abc import Callable

from kintsugi.cli.demo import harm, learning, proving, understanding
from kintsugi.cli.demo.plot import Plot

ACTS: tuple[tuple[str, Callable[[Plot], None]], ...] = (
    ("An ordinary day", harm.ordinary_day),
    ("A typo, and a planted remark", harm.the_change),
    ("Reported", harm.reported),
    ("Triaged and declared", harm.triaged),
    ("Contained", harm.contained),
    ("Preserved", understanding.preserved),
    ("Investigated", understanding.investigated),
    ("Kept as tests", proving.kept_as_cases),
    ("Fixed", learning.fixed),
    ("Shortened and varied", proving.shortened),
    ("Approved", proving.approved),
    ("Proven red, then green", proving.proved),
    ("Released", learning.released),
    ("Promised and told", learning.promised),
    ("Reviewed and closed", learning.reviewed),
    ("Once more", learning.once_more),
    ("Evidence for strangers", learning.packaged),
)
