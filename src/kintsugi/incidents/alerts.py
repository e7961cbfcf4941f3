"""Messages of Prometheus Alertmanager (webhook, version 4) and PagerDuty (webhooks, version 3).

Sources: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config and
https://developer.pagerduty.com/docs/webhooks-overview.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from kintsugi.incidents.heard import (
    ITEMS_MAX,
    Heard,
    Unreadable,
    about_in,
    as_text,
    category_in,
    labels_in,
    severity_in,
    text_in,
    time_in,
    title_in,
    unmapped,
)
from kintsugi.incidents.intake import fingerprint
from kintsugi.model.report import AlertState

_URGENCIES: Final = {"high": "high", "low": "low"}


def of_alertmanager(
    body: Any, *, source: str, fingerprint_labels: Sequence[str] = (), workflow_label: str
) -> list[Heard]:
    """One for each alert of a webhook message.

    Args:
        fingerprint_labels: which labels make two alerts the same; all of them where none is named,
            as for Alertmanager itself.
    """
    if not isinstance(body, dict) or not isinstance(body.get("alerts"), list):
        return [unmapped(body, 'body: has no array "alerts"', source=source)]
    if body.get("version", "4") != "4":
        why = f"body.version: is {body['version']!r}; only version 4 is known"
        return [unmapped(body, why, source=source)]

    def alert(item: dict[str, Any]) -> Heard:
        labels = labels_in(_object(item, "labels"))
        notes = labels_in(_object(item, "annotations"))
        state = _state(item.get("status"))
        chosen = {name: labels.get(name, "") for name in fingerprint_labels} or labels
        title = notes.get("summary") or labels.get("alertname", "")
        if not title:
            raise Unreadable("neither annotations.summary nor labels.alertname is set")
        text = notes.get("description") or notes.get("message", "")
        more = (notes.get("runbook_url", ""), as_text(item.get("generatorURL")))
        return Heard(
            title=title_in(title),
            fingerprint=fingerprint({"source": source, **_named(chosen)}),
            text=text_in("\n".join(filter(None, (text, *more)))),
            happened_at=time_in(item.get("startsAt")),
            category=category_in(labels.get("category", "")),
            severity=severity_in(labels.get("severity", "")),
            workflow=labels.get(workflow_label, "")[:200],
            labels=labels,
            about=about_in({**notes, **labels}),
            state=state,
        )

    return _each(body["alerts"], alert, "alerts", source=source)


def of_pagerduty(body: Any, *, source: str, workflow_label: str) -> list[Heard]:
    """The one event of a webhook message; a message that only tries the connection says nothing
    and gives none."""
    event = body.get("event") if isinstance(body, dict) else None
    if not isinstance(event, dict):
        return [unmapped(body, 'body: has no object "event"', source=source)]
    kind = as_text(event.get("event_type"))
    if kind == "pagey.ping":
        return []

    def incident(item: dict[str, Any]) -> Heard:
        if not kind.startswith("incident."):
            raise Unreadable(f'event_type: "{kind}" is not about an incident')
        data = _object(item, "data")
        # Notes and the like carry the incident they belong to beside them.
        about = _object(data, "incident") if "incident" in data else data
        identifier = as_text(about.get("id"))
        if not identifier:
            raise Unreadable("data.id: is missing")
        service = _summary(about, "service")
        labels = labels_in(
            {
                "pagerduty_incident": identifier,
                "service": service,
                "priority": _summary(about, "priority"),
                "urgency": about.get("urgency"),
                "url": about.get("html_url"),
                "event_type": kind,
            }
        )
        title = as_text(about.get("title")) or as_text(about.get("summary"))
        urgency = _URGENCIES.get(labels.get("urgency", ""), "")
        return Heard(
            title=title_in(title or f"PagerDuty incident {identifier}"),
            fingerprint=fingerprint({"source": source, "pagerduty_incident": identifier}),
            text=text_in(labels.get("url", "")),
            happened_at=time_in(about.get("created_at") or item.get("occurred_at")),
            severity=severity_in(labels.get("priority", "")) or severity_in(urgency),
            workflow=labels.get(workflow_label, "")[:200],
            labels=labels,
            state="resolved" if kind == "incident.resolved" else "firing",
        )

    return _each([event], incident, "event", source=source)


def _each(
    items: Sequence[Any], read: Callable[[dict[str, Any]], Heard], where: str, *, source: str
) -> list[Heard]:
    """Read item by item; what cannot be read is kept with the reason."""
    found = []
    for place, item in enumerate(items[:ITEMS_MAX]):
        try:
            if not isinstance(item, dict):
                raise Unreadable("is no object")
            found.append(read(item))
        except Unreadable as error:
            found.append(unmapped(item, f"{where}[{place}]: {error}", source=source))
    if len(items) > ITEMS_MAX:
        why = f"{where}: has {len(items)} items; {ITEMS_MAX} are the most"
        found.append(unmapped(items[ITEMS_MAX:], why, source=source))
    return found


def _object(item: dict[str, Any], name: str) -> dict[str, Any]:
    value = item.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{name}: is no object")
    return value


def _summary(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    return as_text(value.get("summary")) if isinstance(value, dict) else ""


def _state(word: Any) -> AlertState:
    if word == "firing":
        return "firing"
    if word == "resolved":
        return "resolved"
    raise Unreadable(f"status: {word!r} is neither firing nor resolved")


def _named(labels: dict[str, str]) -> dict[str, str]:
    return {f"labels.{name}": value for name, value in labels.items()}
