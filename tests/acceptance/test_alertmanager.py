"""A real Alertmanager delivers: what it sends is read, joined, and over when it says so."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from kintsugi.api.permissions import Scope
from kintsugi.model.report import ReportFilter
from kintsugi.store.memory import memory_stores
from tests.control_plane import bearer, control_plane, make_token, served
from tests.ports import free_port

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(PROGRAM is None, reason="needs prometheus-alertmanager"),
]

CONFIGURATION = """\
route: {{receiver: kintsugi, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: kintsugi
    webhook_configs:
      - url: {address}/v1/report-sources/prom/deliveries
        send_resolved: true
        http_config:
          authorization: {{credentials_file: {token}}}
"""


def wait_for(what: Callable[[], bool], *, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/-/ready").status_code == 200
    except httpx2.TransportError:
        return False


def test_what_a_real_alertmanager_sends_becomes_one_incident(tmp_path: Path) -> None:
    stores = memory_stores()
    with served(control_plane(stores, tmp_path / "state")) as address:
        made = httpx2.put(
            f"{address}/v1/report-sources/prom",
            json={"kind": "alertmanager"},
            headers=bearer(make_token(stores)),
        )
        assert made.status_code == 200, made.text
        token = tmp_path / "token"
        token.write_text(make_token(stores, Scope.INCIDENTS_REPORT, name="prom"))
        configuration = tmp_path / "alertmanager.yml"
        configuration.write_text(CONFIGURATION.format(address=address, token=token))
        listen = f"127.0.0.1:{free_port()}"
        running = subprocess.Popen(
            [
                str(PROGRAM),
                f"--config.file={configuration}",
                f"--storage.path={tmp_path / 'data'}",
                f"--web.listen-address={listen}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: answers(f"http://{listen}"))
            alert = {
                "labels": {"alertname": "HighBlockRate", "severity": "critical"},
                "annotations": {"summary": "Too much is blocked"},
                "startsAt": (datetime.now(UTC) - timedelta(minutes=9)).isoformat(),
            }
            httpx2.post(f"http://{listen}/api/v2/alerts", json=[alert]).raise_for_status()
            wait_for(lambda: stores.reports.count(ReportFilter(), ceiling=9) > 0)
            over = {**alert, "endsAt": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}
            httpx2.post(f"http://{listen}/api/v2/alerts", json=[over]).raise_for_status()
            incident = stores.incidents.get("INC-1").id
            wait_for(lambda: any(one.resolved for one in stores.reports.recurrences(incident)))
        finally:
            running.terminate()
            running.wait(20)
    [newest, *_], _ = stores.reports.page(ReportFilter(), limit=9)
    assert newest.report.title == "Too much is blocked"
    assert (newest.report.severity, newest.report.state) == ("critical", "resolved")
    assert newest.standing.status == "joined"
    assert newest.report.sender.startswith("prom/")
    assert stores.incidents.get("INC-1").state == "reported"
