"""Reviews: what people wrote is kept, taken back in from an edited file, and published. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, in_command, refuse
from kintsugi.incidents.redaction import redacted
from kintsugi.incidents.review_markdown import EMPTY, Document, Section, digest_of, parse_review
from kintsugi.incidents.wording import WordingFinding, check_wording
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Change, Incident, new_id
from kintsugi.model.review import PEOPLE_PARTS, Edition, Review, ReviewAudience, Words

REVIEW_CHARS_MAX: Final = 500_000
_DIGEST: Final = re.compile(r'  ([a-z_]+): "(sha256:[0-9a-f]{64})"')
_INCIDENT: Final = re.compile(r'incident: "(INC-[0-9]+)"')
_LINK_DEFINITION: Final = re.compile(r"^\[r[0-9]+\]: .*$", re.MULTILINE)
_ANCHOR: Final = re.compile(r" \[r[0-9]+\](?=\n|$)")
# Sections in which a name or a judgement is looked for.
_JUDGED: Final = ("summary", "root_cause", *PEOPLE_PARTS)


class ImportFinding(msgspec.Struct, frozen=True):
    """Something that was edited and is not kept, because it is computed."""

    line: int
    message: str


class Import(msgspec.Struct, frozen=True):
    """An edited review, taken apart.

    Attributes:
        words: the parts that somebody changed, with their new text.
        findings: edits of generated lines.
    """

    words: dict[str, str]
    findings: tuple[ImportFinding, ...]


def read_import(incident: Incident, text: str, current: str, words: dict[str, Words]) -> Import:
    """What an edited file changes: people's parts are taken, generated ones told and left.

    Args:
        current: the review as it is generated now.
        words: what people have written so far.

    Raises:
        InvalidInput: it is no review, or one of another incident.
        Blocked: with each place where the form is broken, or where somebody else has written
            meanwhile.
    """
    if len(text) > REVIEW_CHARS_MAX:
        raise InvalidInput(f"text: {REVIEW_CHARS_MAX} characters at most")
    document = parse_review(text)
    front = "\n".join(document.front)
    named = _INCIDENT.search(front)
    if named is None:
        raise InvalidInput("line 1: the front matter of a review is missing; export it again")
    if named[1] != incident.reference:
        raise InvalidInput(f"line 1: this is the review of {named[1]}, not {incident.reference}")
    digests = dict(_DIGEST.findall(front))
    blockers = [_conflict(line, "form", message) for line, message in document.problems]
    taken: dict[str, str] = {}
    for part in PEOPLE_PARTS:
        section = document.sections.get(part)
        if section is None or section.kind != "people":
            blockers.append(
                _conflict(1, "form", f'the part "{part}" is missing', "put its markers back")
            )
            continue
        stored = words[part].text if part in words else ""
        written = "" if section.text == EMPTY else section.text
        if written == stored or section.digest == digests.get(part):
            continue
        if digest_of(stored or EMPTY) != digests.get(part):
            blockers.append(
                _conflict(
                    section.line,
                    "conflict",
                    f'somebody else has changed "{part}" since this file was made',
                    "export it again, and put your words into that",
                )
            )
            continue
        taken[part] = written
    refuse(f"take in the review of {incident.reference}", blockers)
    return Import(taken, tuple(_edited(document, parse_review(current), digests)))


def written(incident: Incident, review: Review | None, words: dict[str, str], act: Act) -> Change:
    """Keep what people wrote; empty takes a part away."""
    for part, text in words.items():
        if part not in PEOPLE_PARTS:
            raise InvalidInput(f'there is no part "{part}"; known: {", ".join(PEOPLE_PARTS)}')
        if parse_review(text).problems or parse_review(text).sections:
            raise InvalidInput(f"{part}: holds a marker of a section; leave it out")
    before = review or Review(
        id=new_id(act.now),
        incidents=(incident.id,),
        created_at=act.now,
        created_by=act.actor.reference,
    )
    parts = dict(before.parts)
    for part, text in words.items():
        cleaned = text.replace("\r\n", "\n").replace("\r", "\n").strip()
        if cleaned and cleaned != EMPTY:
            parts[part] = Words(cleaned, act.actor.reference, act.now)
        else:
            parts.pop(part, None)
    after = msgspec.structs.replace(before, parts=parts)
    detail = {"review": after.id, "parts": sorted(words)}
    told = entry(
        incident, "review", f"review: wrote {', '.join(sorted(words))}", act, detail=detail
    )
    return changed(incident, [told], act, keep=[after])


def published(
    incident: Incident,
    text: str,
    act: Act,
    *,
    audience: ReviewAudience,
    number: int,
    names: Mapping[str, str],
    terms: Sequence[str] = (),
) -> Change:
    """Publish an edition, which never changes; its digest is in the timeline, and so in the log.

    Args:
        text: the review as it is generated now.
        number: of this edition.
        names: what stands for each person before strangers.
        terms: further words that no stranger may read.
    """
    document = parse_review(text)
    blockers = in_command(incident, act)
    for part in PEOPLE_PARTS:
        if document.sections[part].text == EMPTY:
            blockers.append(
                Blocker(f"review.{part}", "review", f"nobody has written: {part}", "write it")
            )
    refuse(f"publish the review of {incident.reference}", blockers)
    shown = text if audience == "internal" else for_strangers(text, names, terms=terms)
    edition = Edition(
        id=new_id(act.now),
        incidents=(incident.id,),
        number=number,
        audience=audience,
        created_at=act.now,
        created_by=act.actor.reference,
        text=shown,
        digest=digest_of(shown),
        findings=len(wording_of(text, names)),
    )
    detail: dict[str, Any] = {
        "edition": edition.id,
        "number": number,
        "audience": audience,
        "digest": edition.digest,
    }
    told = entry(
        incident, "review", f"review: edition {number} published, {audience}", act, detail=detail
    )
    return changed(incident, [told], act, keep=[edition])


def for_strangers(text: str, names: Mapping[str, str], *, terms: Sequence[str] = ()) -> str:
    """The review without front matter, markers, anchors and names."""
    lines = body_of(text).split("\n")
    kept = "\n".join(line for line in lines if not line.startswith("<!-- "))
    kept = _ANCHOR.sub("", _LINK_DEFINITION.sub("", kept))
    return redacted(kept, names, terms=terms).strip() + "\n"


def body_of(text: str) -> str:
    """What stands behind the front matter."""
    front = parse_review(text).front
    return "\n".join(text.split("\n")[len(front) + 2 :]) if front else text


def wording_of(text: str, names: Collection[str]) -> list[WordingFinding]:
    """Remarks on the wording of a review, by its lines."""
    sections = parse_review(text).sections
    found = [
        finding
        for name in _JUDGED
        if (section := sections.get(name)) is not None
        for finding in check_wording(section.lines, people=names, first_line=section.line)
    ]
    return sorted(found, key=lambda one: (one.line, one.column))


def _edited(document: Document, current: Document, digests: dict[str, str]) -> list[ImportFinding]:
    found = []
    for name, section in document.sections.items():
        if section.kind != "generated" or name not in current.sections:
            continue
        if name not in digests or section.digest == digests[name]:
            continue
        found.append(ImportFinding(_first_difference(section, current.sections[name]), _COMPUTED))
    return found


_COMPUTED: Final = "this line is computed from the record; change the incident instead"


def _first_difference(section: Section, current: Section) -> int:
    for number, line in enumerate(section.lines):
        if number >= len(current.lines) or current.lines[number] != line:
            return section.line + number
    return section.line + len(section.lines)


def _conflict(line: int, code: str, message: str, help_text: str = "") -> Blocker:
    return Blocker(f"line {line}", code, message, help_text)
