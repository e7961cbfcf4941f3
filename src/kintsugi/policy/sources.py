"""The sources that a request gives an answer to draw on: tool results and labelled passages.

Retrieval puts its finds into prompts in a handful of forms: numbered or named in brackets at the
start of a line, in tags, or under a word such as "Document 3:". What has none of these forms, in a
message that is no tool result, is talk and no source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kintsugi.model.content import Part

URL = re.compile(r"https?://[^\s<>\"'\]})`|\\]{3,500}", re.IGNORECASE)
_HEAD = re.compile(
    r"^[ \t>*#-]{0,8}(?:"
    r"\[(?P<bracket>[^\]\[\n]{1,80})\](?!\()"
    r"|【(?P<lens>[^】\n]{1,80})】"
    r"|<(?:document|doc|source|passage|chunk|article|result|context|item)\b(?P<tag>[^>\n]{0,200})>"
    r"|\**(?:document|doc|source|passage|chunk|article|result|context|excerpt|reference)\**"
    r"[ #_-]{0,2}"
    r"(?P<word>\d{1,4}|[A-Za-z])\b[^\n:]{0,120}:"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_ATTRIBUTE = re.compile(
    r"\b(?:id|index|name|title|source|url|href|file|label|n)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'/]+))",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"\b(?:title|source|file|url|id)\s{0,3}[:=]\s{0,3}([^\n|;<>\"']{1,120})", re.IGNORECASE
)
_LABEL_REST = re.compile(r"[\W_]+")
SOURCES_MAX = 2_000


class Source(NamedTuple):
    """One source.

    Attributes:
        labels: the names that it may be cited by, as ``label`` writes them.
        path: of the part that it stands in.
    """

    labels: frozenset[str]
    text: str
    path: str


def label(name: str) -> str:
    """A name without regard to case, signs and words such as "source": ``Doc #3`` is ``3``."""
    plain = _LABEL_REST.sub(" ", name.casefold()).strip()
    head, _, rest = plain.partition(" ")
    if rest and head in (
        "source",
        "document",
        "doc",
        "ref",
        "reference",
        "passage",
        "chunk",
        "context",
    ):
        return rest
    for word in ("document", "source", "doc", "ref"):
        if plain.startswith(word) and plain[len(word) :].isdigit():
            return plain[len(word) :]
    return plain


def url_key(url: str) -> str:
    """A URL without scheme, ``www.``, fragment, closing signs and a last slash."""
    bare = url.casefold().partition("://")[2].partition("#")[0].rstrip(".,;:!?*_")
    return bare.removeprefix("www.").rstrip("/")


def urls_in(text: str) -> set[str]:
    """Every URL that a text names, as ``url_key`` writes it."""
    return {url_key(match[0]) for match in URL.finditer(text)}


def sources(request: Sequence[Part]) -> list[Source]:
    """The sources of a request, in order."""
    found: list[Source] = []
    results = 0
    for part in request:
        if part.kind not in ("text", "tool_result"):
            continue
        blocks = list(_blocks(part))
        found.extend(blocks)
        if part.kind == "tool_result":
            results += 1
            if not blocks:
                named = frozenset(filter(None, (label(part.name), str(results))))
                found.append(Source(named, part.text, part.path))
    return found[:SOURCES_MAX]


def _blocks(part: Part) -> Iterator[Source]:
    heads = list(_HEAD.finditer(part.text))[:SOURCES_MAX]
    ends = [*(head.start() for head in heads[1:]), len(part.text)]
    for head, end in zip(heads, ends, strict=False):
        text = part.text[head.start() : end]
        yield Source(frozenset(filter(None, _labels(head, text))), text, part.path)


def _labels(head: re.Match[str], text: str) -> Iterator[str]:
    for name in ("bracket", "lens", "word"):
        if head[name]:
            yield label(head[name])
    if head["tag"]:
        for found in _ATTRIBUTE.finditer(head["tag"]):
            yield label(found[1] or found[2] or found[3] or "")
    for title in _TITLE.finditer(text[:400]):
        yield label(title[1])
