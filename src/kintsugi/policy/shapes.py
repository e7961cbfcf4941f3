"""The second documented shape into the canonical one, and clear words about the others.

Nothing else in Kintsugi knows that more than one shape exists. Translated nodes keep their places
in the author's text; their paths are those of the canonical form.

The second shape (the incident guide's ``emergency-passthrough.yaml``)::

    gateway:
      port: 41002
      secret_key_ref: {env: OPENAI_API_KEY}
    policies:
      - name: emergency-passthrough
        input: [{type: content_safety, action: flag}]
        output: [{type: content_safety, action: flag}]
"""

from __future__ import annotations

from collections.abc import Iterable

from kintsugi.model.config import Position
from kintsugi.policy.diagnostics import Problems, nearest
from kintsugi.policy.document import (
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    join,
    noun,
    plain,
    shortened,
)

OPENAI_URL = "https://api.openai.com/v1"

# Type names that the documents use for what is one kind here.
_TYPES = {
    "content-safety": "safety-filter",
    "content-filter": "safety-filter",
    "pii-redaction": "pii-detector",
    "pii-detection": "pii-detector",
    "pii": "pii-detector",
    "secrets": "secrets-detector",
    "secret-detection": "secrets-detector",
    "data-loss-prevention": "dlp-filter",
    "dlp": "dlp-filter",
    "audit": "audit-logger",
    "observe": "audit-logger",
}
_PHASES = ("input", "output")
_PASSED_ON = ("pack", "providers", "testing")


def to_canonical(document: Mapping, problems: Problems) -> Mapping | None:
    """The document in canonical shape: itself, or translated.

    Returns:
        None when it is in a shape that is not read; the reason is in ``problems``.
    """
    policies = document.get("policies")
    if isinstance(policies, Sequence):
        if _is_second_shape(policies):
            return _translate(document, policies, problems)
        _refuse_list(document, policies, problems)
        return None
    policy = document.get("policy")
    if isinstance(policy, Mapping) and {"name", "version"} <= set(policy.keys()):
        _refuse_single_policy(document, policy, problems)
        return None
    return _with_canonical_kinds(document, problems)


def canonical_kind(word: str) -> str:
    """``prompt_injection`` and ``Prompt-Injection`` are ``prompt-injection``."""
    return word.strip().lower().replace("_", "-")


def _with_canonical_kinds(document: Mapping, problems: Problems) -> Mapping:
    """The document with ``prompt_injection`` under ``policy`` written ``prompt-injection``."""
    policy = document.get("policy")
    if not isinstance(policy, Mapping):
        return document
    blocks: dict[str, Entry] = {}
    for entry in policy.entries:
        kind = canonical_kind(entry.key)
        if kind in blocks:
            problems.add(
                "E007",
                f'"{shortened(entry.key)}" names a policy that has a block already',
                entry.position,
                join("policy", kind),
                help=f"it stands at line {blocks[kind].position.line}; keep one, as {kind}",
            )
        else:
            blocks[kind] = Entry(kind, entry.position, entry.value)
    canonical = Mapping(tuple(blocks.values()), policy.position)
    return Mapping(
        tuple(
            Entry(e.key, e.position, canonical) if e.key == "policy" else e
            for e in document.entries
        ),
        document.position,
    )


def kind_of_type(word: str) -> str:
    """The kind that a ``type`` of another shape means: ``content_safety`` is safety-filter."""
    kind = canonical_kind(word)
    return _TYPES.get(kind, kind)


def _is_second_shape(policies: Sequence) -> bool:
    return any(
        isinstance(item, Mapping) and any(item.get(phase) is not None for phase in _PHASES)
        for item in policies.items
    )


class _Block:
    """One kind's options while they are gathered from both phases."""

    def __init__(self, kind: Scalar) -> None:
        self.kind = kind
        self.phases: list[Scalar] = []
        self.options: dict[str, Entry] = {}

    def add(self, phase: Entry, step: Mapping, path: str, problems: Problems) -> None:
        """Take over one step of a phase."""
        if any(known.text == phase.key for known in self.phases):
            problems.add(
                "E020",
                f'"{self.kind.text}" stands twice in the {phase.key} steps',
                step.position,
                path,
                help="keep one",
            )
            return
        self.phases.append(_text(phase.key, phase.position))
        for entry in step.entries:
            if entry.key == "type":
                continue
            key = "output_action" if (phase.key, entry.key) == ("output", "action") else entry.key
            known = self.options.setdefault(key, Entry(key, entry.position, entry.value))
            if plain(known.value) != plain(entry.value):
                problems.add(
                    "E007",
                    f'"{entry.key}" has another value for input (line {known.position.line})',
                    entry.position,
                    join(path, entry.key),
                    help="only the action may differ between input and output",
                )

    def node(self) -> Mapping:
        """The canonical block."""
        at = self.kind.position
        options = dict(self.options)
        if "output_action" in options and len(self.phases) == 1:
            only = options.pop("output_action")
            options["action"] = Entry("action", only.position, only.value)
        phases = Entry("phases", at, Sequence(tuple(self.phases), at))
        return Mapping((*options.values(), phases), at)


def _translate(document: Mapping, policies: Sequence, problems: Problems) -> Mapping:
    blocks: dict[str, _Block] = {}
    names: list[Scalar] = []
    for index, item in enumerate(policies.items):
        path = f"policies.{index}"
        if not isinstance(item, Mapping):
            problems.add("E005", f"expected a mapping, found {noun(item)}", item.position, path)
            continue
        for entry in item.entries:
            below = join(path, entry.key)
            if entry.key in _PHASES:
                _gather(entry, below, blocks, problems)
            elif entry.key == "name" and isinstance(entry.value, Scalar):
                names.append(entry.value)
            else:
                problems.add(
                    "E002",
                    f'unknown key "{entry.key}"',
                    entry.position,
                    below,
                    help="keys here: name, input, output",
                    suggestion=nearest(entry.key, ("name", *_PHASES)),
                )
    at = policies.position
    chain = Sequence(tuple(block.kind for block in blocks.values()), at)
    settings = Mapping(tuple(_entry(kind, b.node()) for kind, b in blocks.items()), at)
    sections = {
        "pack": _pack(names, at),
        **{entry.key: entry.value for entry in document.entries if entry.key in _PASSED_ON},
        "policies": Mapping((_entry("chain", chain),), at),
        "policy": settings,
    }
    rest = [e for e in document.entries if e.key not in (*sections, "gateway")]
    gateway = document.get("gateway")
    if isinstance(gateway, Mapping):
        sections["gateway"], target = _split_gateway(gateway)
        if target is not None and "providers" not in sections:
            targets = Sequence((target,), target.position)
            sections["providers"] = Mapping((_entry("targets", targets),), target.position)
    elif gateway is not None:
        sections["gateway"] = gateway
    places = {entry.key: entry.position for entry in document.entries}
    return Mapping(
        (*(Entry(k, places.get(k, n.position), n) for k, n in sections.items()), *rest),
        document.position,
    )


def _gather(phase: Entry, path: str, blocks: dict[str, _Block], problems: Problems) -> None:
    if not isinstance(phase.value, Sequence):
        message = f"expected a list, found {noun(phase.value)}"
        problems.add("E005", message, phase.value.position, path)
        return
    for index, step in enumerate(phase.value.items):
        below = f"{path}.{index}"
        kind = step.get("type") if isinstance(step, Mapping) else None
        if not isinstance(step, Mapping) or not isinstance(kind, Scalar):
            problems.add(
                "E006", '"type" is missing', step.position, below, help="add type: content_safety"
            )
            continue
        name = kind_of_type(kind.text)
        block = blocks.setdefault(name, _Block(_text(name, kind.position)))
        block.add(phase, step, below, problems)


def _pack(names: list[Scalar], at: Position) -> Mapping:
    name = names[0] if names else _text("unnamed", at)
    return Mapping((_entry("name", name), _entry("version", _text("0.0.0", name.position))), at)


def _split_gateway(gateway: Mapping) -> tuple[Mapping, Mapping | None]:
    """Gateway settings, and the target that its ``secret_key_ref`` implies."""
    kept = tuple(entry for entry in gateway.entries if entry.key != "secret_key_ref")
    secret = next((e for e in gateway.entries if e.key == "secret_key_ref"), None)
    if secret is None:
        return gateway, None
    at = secret.position
    target = Mapping(
        (
            _entry("id", _text("openai", at)),
            _entry("provider", _text("openai", at)),
            _entry("base_url", _text(OPENAI_URL, at)),
            secret,
        ),
        at,
    )
    return Mapping(kept, gateway.position), target


def _refuse_list(document: Mapping, policies: Sequence, problems: Problems) -> None:
    """``policies`` as a list of typed steps, with or without ``phase``: two more shapes around."""
    kinds = list(dict.fromkeys(_types_of(policies)))
    chain = ", ".join(kinds) or "prompt-injection, audit-logger"
    blocks = ", ".join(f"{kind}: {{...}}" for kind in kinds) or "prompt-injection: {}"
    place = next(e.position for e in document.entries if e.key == "policies")
    problems.add(
        "E019",
        '"policies" is a list of steps; here it names the chain',
        place,
        "policies",
        help=(
            f"write policies: {{chain: [{chain}]}} and, beside it, policy: {{{blocks}}}; "
            "each kind knows its own phases"
        ),
    )
    for entry in document.entries:
        if entry.key in ("version", "includes"):
            problems.add(
                "E019",
                f'"{entry.key}" at the top belongs to another shape',
                entry.position,
                entry.key,
                help=(
                    "the version goes to pack: {name: ..., version: 1.0.0}"
                    if entry.key == "version"
                    else "write one whole file; nothing is included"
                ),
            )


def _types_of(policies: Sequence) -> Iterable[str]:
    for item in policies.items:
        kind = item.get("type") if isinstance(item, Mapping) else None
        if isinstance(kind, Scalar):
            yield kind_of_type(kind.text)


def _refuse_single_policy(document: Mapping, policy: Mapping, problems: Problems) -> None:
    name = policy.get("name")
    kind = canonical_kind(name.text) if isinstance(name, Scalar) else "prompt-injection"
    place = next(e.position for e in document.entries if e.key == "policy")
    problems.add(
        "E019",
        "this describes a single policy; a whole configuration is expected",
        place,
        "policy",
        help=(
            f"write pack: {{name: {kind}, version: 1.0.0}}, policies: {{chain: [{kind}]}} and "
            f"policy: {{{kind}: {{...}}}} with this file's other sections inside the braces"
        ),
    )


def _text(text: str, at: Position) -> Scalar:
    return Scalar(text, text, at)


def _entry(key: str, value: Node) -> Entry:
    return Entry(key, value.position, value)
