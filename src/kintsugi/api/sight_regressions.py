"""What of the regression cases a caller may see: none of an incident that they do not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kintsugi.errors import NotFound
from kintsugi.model.incident import IncidentStore
from kintsugi.model.regression import Regression, RegressionFilter, RegressionStore


class SeenRegressions:
    """A store of cases in front of the real one.

    ``scan`` is as it was: it is for what has to hold for everybody, and shown to nobody.
    """

    def __init__(self, regressions: RegressionStore, incidents: IncidentStore, viewer: str) -> None:
        self._regressions = regressions
        self._incidents = incidents
        self._viewer = viewer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._regressions, name)

    def get(self, regression_id: str, version: int | None = None) -> Regression:
        [found] = self._seen([self._regressions.get(regression_id, version)], regression_id)
        return found

    def history(self, regression_id: str) -> list[Regression]:
        return self._seen(self._regressions.history(regression_id), regression_id)

    def page(
        self, where: RegressionFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Regression], str | None]:
        found, cursor = self._regressions.page(where, limit=limit, cursor=cursor)
        unseen = self._unseen(found)
        return [one for one in found if one.incident_id not in unseen], cursor

    def change(
        self,
        regression_id: str,
        apply: Callable[[Regression], Regression],
        *,
        expected_version: int | None = None,
    ) -> Regression:
        self.get(regression_id)  # or its version would tell that it is there
        return self._regressions.change(regression_id, apply, expected_version=expected_version)

    def _seen(self, found: Sequence[Regression], regression_id: str) -> list[Regression]:
        if self._unseen(found):
            raise NotFound(f'there is no regression case "{regression_id}"')
        return [*found]

    def _unseen(self, found: Sequence[Regression]) -> frozenset[str]:
        ids = sorted({one.incident_id for one in found})
        return self._incidents.restricted(ids, viewer=self._viewer) if ids else frozenset()
