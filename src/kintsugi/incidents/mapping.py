"""Any JSON as reports: each field picked by JSON pointer (RFC 6901), by a CEL expression, or given.

An expression sees ``item`` (one of the items) and ``body`` (the whole). It is written by whoever
runs the source and checked when it is; what it reads comes from outside.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.heard import (
    ITEMS_MAX,
    Heard,
    Unreadable,
    about_in,
    as_text,
    category_in,
    cut,
    labels_in,
    severity_in,
    text_in,
    time_in,
    title_in,
    unmapped,
)
from kintsugi.incidents.intake import fingerprint
from kintsugi.model.report import AlertState
from kintsugi.model.report_doors import Mapping, Pick

if TYPE_CHECKING:
    from cel_expr_python import cel

CEL_CHARS_MAX: Final = 4096
# A loop in a loop in a loop over what somebody sent takes as long as they like.
_LOOPS: Final = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(")
_LOOPS_MAX: Final = 2
_PICKS: Final = (
    *("title", "text", "severity", "category", "workflow", "state", "happened_at"),
    *("event", "trace", "session"),
)
_MISSING: Final = object()


def check_mapping(mapping: Mapping) -> None:
    """Raise where it could never work.

    Raises:
        InvalidInput: naming the field.
    """
    if mapping.items is not None:
        _steps(mapping.items, "mapping.items")
    for where, pick in _all_picks(mapping):
        given = [name for name in ("pointer", "cel", "text") if getattr(pick, name) is not None]
        if len(given) != 1:
            raise InvalidInput(f"{where}: give exactly one of pointer, cel and text")
        if pick.pointer is not None:
            _steps(pick.pointer, f"{where}.pointer")
        if pick.cel is not None:
            _check_cel(pick.cel, f"{where}.cel")


def mapped(body: Any, mapping: Mapping, *, source: str) -> list[Heard]:
    """One for each item; what cannot be read is kept with the reason."""
    items = body if mapping.items is None else _at(body, mapping.items)
    if mapping.items is None:
        items = [body]
    if not isinstance(items, list):
        why = f'mapping.items: there is no array at "{mapping.items}"'
        return [unmapped(body, why, source=source)]
    found = [
        _item(item, body, mapping, source, place) for place, item in enumerate(items[:ITEMS_MAX])
    ]
    if len(items) > ITEMS_MAX:
        why = f"mapping.items: {len(items)} items came; {ITEMS_MAX} are the most"
        found.append(unmapped(items[ITEMS_MAX:], why, source=source))
    return found


def _item(item: Any, body: Any, mapping: Mapping, source: str, place: int) -> Heard:
    def value(name: str) -> Any:
        pick = getattr(mapping, name)
        return None if pick is None else _picked(pick, item, body, f"mapping.{name}")

    try:
        title = title_in(as_text(value("title")))
        if not title:
            raise Unreadable("mapping.title: gives nothing")
        workflow = cut(as_text(value("workflow")), 200)
        labels = _labels(mapping, item, body)
        about = about_in(
            {f"{name}_id": as_text(value(name)) for name in ("event", "trace", "session")}
        )
        chosen = {
            name: as_text(_picked(pick, item, body, f"mapping.fingerprint.{name}"))
            for name, pick in mapping.fingerprint.items()
        }
        if mapping.fingerprint and not any(chosen.values()):
            raise Unreadable("mapping.fingerprint: gives nothing")
        fields = chosen or {"title": title, "workflow": workflow}
        return Heard(
            title=title,
            fingerprint=fingerprint({"source": source, **fields}),
            text=text_in(as_text(value("text"))),
            happened_at=_when(value("happened_at")),
            category=category_in(as_text(value("category"))),
            severity=severity_in(as_text(value("severity"))),
            workflow=workflow,
            labels=labels,
            about=about,
            state=_state(value("state")),
        )
    except Unreadable as error:
        where = "" if mapping.items is None else f"item {place}: "
        return unmapped(item, f"{where}{error}", source=source)


def _labels(mapping: Mapping, item: Any, body: Any) -> dict[str, str]:
    found: dict[str, Any] = {}
    for name, pick in mapping.labels.items():
        value = _picked(pick, item, body, f"mapping.labels.{name}")
        if isinstance(value, dict):
            found |= value
        else:
            found[name] = value
    return labels_in(found)


def _picked(pick: Pick, item: Any, body: Any, where: str) -> Any:
    """The value; None where there is nothing."""
    if pick.text is not None:
        return pick.text
    if pick.pointer is not None:
        found = _at(item, pick.pointer)
        return None if found is _MISSING else found
    return _evaluated(pick.cel or "", item, body, where)


def _at(value: Any, pointer: str) -> Any:
    for step in _steps(pointer, pointer):
        match value:
            case dict() if step in value:
                value = value[step]
            case list() if step.isdecimal() and step.isascii() and int(step[:9]) < len(value):
                value = value[int(step)]
            case _:
                return _MISSING
    return value


def _steps(pointer: str, where: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/") or re.search(r"~(?![01])", pointer):
        raise InvalidInput(f'{where}: "{pointer}" is no JSON pointer; write /name/0/name')
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _evaluated(source: str, item: Any, body: Any, where: str) -> Any:
    try:
        found = _compiled(source).eval(data={"item": item, "body": body})
    except RuntimeError as error:  # the only error that the library raises
        raise Unreadable(f"{where}: {error}") from None
    if found.type().name() == "ERROR":
        raise Unreadable(f"{where}: {found.plain_value()}")
    return found.plain_value()


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    """Imported when the first expression is: it takes 13 MB."""
    from cel_expr_python import cel

    return cel.NewEnv(variables={"item": cel.Type.DYN, "body": cel.Type.DYN})


@lru_cache(maxsize=256)
def _compiled(source: str) -> cel.Expression:
    return _environment().compile(source)


def _check_cel(source: str, where: str) -> None:
    if not source.strip() or len(source) > CEL_CHARS_MAX:
        raise InvalidInput(f"{where}: an expression has 1 to {CEL_CHARS_MAX} characters")
    if len(_LOOPS.findall(source)) > _LOOPS_MAX:
        raise InvalidInput(f"{where}: more than {_LOOPS_MAX} loops; pick with a pointer instead")
    try:
        _compiled(source)
    except RuntimeError as error:
        raise InvalidInput(f"{where}: {error}") from None


def _all_picks(mapping: Mapping) -> list[tuple[str, Pick]]:
    single = [(f"mapping.{name}", getattr(mapping, name)) for name in _PICKS]
    labels = [(f"mapping.labels.{name}", pick) for name, pick in mapping.labels.items()]
    prints = [(f"mapping.fingerprint.{name}", pick) for name, pick in mapping.fingerprint.items()]
    return [(where, pick) for where, pick in (*single, *labels, *prints) if pick is not None]


def _when(value: Any) -> Any:
    try:
        return time_in(value)
    except Unreadable as error:
        raise Unreadable(f"mapping.happened_at: {error}") from None


def _state(value: Any) -> AlertState:
    match value:
        case None | "":
            return ""
        case True | "firing" | "open" | "triggered" | "active":
            return "firing"
        case False | "resolved" | "ok" | "closed" | "inactive":
            return "resolved"
        case _:
            raise Unreadable(
                f"mapping.state: {cut(str(value), 80)!r} is neither firing nor resolved"
            )


def read_mapping(document: Any) -> Mapping:
    """A mapping from its document.

    Raises:
        InvalidInput: naming the field.
    """
    try:
        found = msgspec.convert(document, Mapping)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"mapping: {error}") from None
    check_mapping(found)
    return found
