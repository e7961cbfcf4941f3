"""What people read first: the page inside a package, and its description for machines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import msgspec

from kintsugi.ledger.package import bag, contents
from kintsugi.ledger.package.contents import PackageInfo
from kintsugi.model.evidence import Evidence, State

# What each file is and in which format, by name or by folder.
DESCRIPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    contents.PACKAGE: ("What was asked for, and what came of it", "application/json"),
    contents.README: ("This page", "text/html"),
    contents.EVENTS: (
        "Decision events as they were recorded, one JSON object a line, in the order of the log",
        "application/x-ndjson",
    ),
    contents.CONTENT: (
        "What was asked and answered, a line for each event, in the same order",
        "application/x-ndjson",
    ),
    contents.SPANS: (
        "The steps that applications reported of the same traces",
        "application/x-ndjson",
    ),
    contents.TIMELINE: ("What happened, in order of time", "application/x-ndjson"),
    contents.ESCALATIONS: (
        "What was asked of people, and what they answered",
        "application/x-ndjson",
    ),
    contents.HOLDS: ("Legal holds in force over some of it", "application/x-ndjson"),
    contents.CUSTODY: ("Who did what with this evidence", "application/x-ndjson"),
    contents.CONFIGURATIONS: ("Configuration versions that were in force", "application/x-ndjson"),
    contents.CONFIGURATION_FOLDER: ("The text of one of them", "application/yaml"),
    contents.INCIDENT_FOLDER: (
        "The incident: its record, timeline, freezes, signals, and what it affected",
        "application/x-ndjson",
    ),
    contents.TRAJECTORY_FOLDER: (
        "Conversations and agent runs as trajectories, successes and failures apart",
        "application/x-ndjson",
    ),
    contents.COMPLETENESS: (
        "Which evidence of a decision is held, and which is missing",
        "application/json",
    ),
    contents.BATCHES: (
        "For each batch of events, the hashes that lead to its leaf in the log",
        "application/x-ndjson",
    ),
    contents.LOG: (
        "The log up to the checkpoint: the leaves of this package, hashes for all others",
        "application/x-ndjson",
    ),
    contents.CHECKPOINT: ("The log's signed checkpoint (C2SP tlog-checkpoint)", "text/plain"),
    contents.KEYS: ("The log's verifier keys, as the log names them itself", "text/plain"),
}

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}code{overflow-wrap:anywhere}"
)
_WORDS: Final = {
    State.HELD: "held",
    State.PARTIAL: "held in part",
    State.MISSING: "missing",
    State.EXPIRED: "expired under retention",
    State.NONE_SEEN: "not applicable: nothing tells that there was any",
}


def readme(info: PackageInfo, table: Sequence[Evidence], files: Sequence[str]) -> bytes:
    """A page that needs no network; whatever came from outside is text in it."""
    facts = [
        ("Package", info.id),
        ("Made", f"{info.made_at.isoformat()} by {info.made_by}"),
        ("Reason", info.reason or "none given"),
        ("Selected", ", ".join(f"{k} = {v}" for k, v in info.selection.items()) or "everything"),
        ("Prompts and answers", _CONTENT[info.content]),
        ("Events", f"{info.events:,}; content erased before: {info.erased:,}"),
        ("Steps reported by applications", f"{info.spans:,}"),
        ("Log", f"{info.origin}, under a checkpoint of {info.checkpoint_size:,} leaves"),
        ("Made with", f"Kintsugi {info.kintsugi}"),
        *(("Note", remark) for remark in info.remarks),
    ]
    rows = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in facts)
    evidence = "".join(
        f"<tr><th>{escape(line.title)}<td>{_WORDS[line.state]}<td>{escape(', '.join(line.held))}"
        f"<td>{escape(', '.join(line.missing))}<td>{escape(', '.join(line.expired))}"
        for line in table
    )
    listed = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(describe(name)[0])}" for name in files
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Evidence package {escape(info.id)}</title><style>{_STYLE}</style>"
        f"<h1>Evidence package</h1><table>{rows}</table>"
        "<h2>What is held, and what is missing</h2>"
        f"<table><tr><th>Evidence<th>State<th>Held<th>Missing<th>Expired{evidence}</table>"
        f"<h2>Files</h2><table>{listed}</table>"
        "<h2>How to check it</h2><p><code>kt verify PACKAGE --key KEY</code> checks all of it "
        "without asking anybody; get the key from somebody whom you trust, and not from this "
        f"package. By hand: every file in <code>data/</code> has its SHA-256 in "
        f"<code>{bag.MANIFEST}</code>, and <code>{bag.STATEMENT}</code> is a DSSE envelope around "
        "an in-toto statement that names the digest of that manifest.</p></html>\n"
    ).encode()


_CONTENT: Final[Mapping[str, str]] = {
    "redacted": "redacted: personal data and secrets are masked",
    "unredacted": "UNREDACTED: as they were on the wire, as far as they were recorded",
}


def crate(info: PackageInfo, sizes: Mapping[str, int]) -> bytes:
    """RO-Crate 1.1 metadata of the payload; names are relative to ``data/``."""
    files = [name for name in sorted(sizes) if name != contents.CRATE]
    graph: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Evidence package {info.id}",
            "description": f"{info.events} decision events of {info.origin} with their proofs",
            "identifier": info.id,
            "datePublished": info.made_at.isoformat(),
            "license": "Evidence; no licence to publish is granted.",
            "hasPart": [{"@id": _relative(name)} for name in files],
        },
        {
            "@id": "#kintsugi",
            "@type": "SoftwareApplication",
            "name": "Kintsugi",
            "version": info.kintsugi,
        },
        {
            "@id": "#made",
            "@type": "CreateAction",
            "instrument": {"@id": "#kintsugi"},
            "object": {"@id": "./"},
            "endTime": info.made_at.isoformat(),
            "description": info.reason,
        },
    ]
    graph += [
        {
            "@id": _relative(name),
            "@type": "File",
            "name": describe(name)[0],
            "encodingFormat": describe(name)[1],
            "contentSize": str(sizes[name]),
        }
        for name in files
    ]
    document = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def describe(name: str) -> tuple[str, str]:
    """What a file is, and its media type."""
    folder = name.rpartition("/")[0] + "/"
    return DESCRIPTIONS.get(name) or DESCRIPTIONS.get(folder, ("", "application/octet-stream"))


def _relative(name: str) -> str:
    return name.removeprefix(bag.PAYLOAD)
