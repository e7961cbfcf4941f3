"""A new kind of policy for contributors: its folder, its test, and where it is registered.

What is made works at once, and is small: it finds words of the operator's own. A contributor
replaces what it looks for and keeps the shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from string import Template

from kintsugi.errors import InvalidInput

_NAME = re.compile(r"[a-z]+(?:-[a-z]+)*")
_LENGTH_MAX = 40
RULES = "src/kintsugi/policy/rules"
_REGISTRY = f"{RULES}/__init__.py"
_REASONS = "src/kintsugi/policy/reasons.py"
_STANDARDS = "src/kintsugi/policy/standards.py"
REGISTERED_IN = (_REGISTRY, _REASONS, _STANDARDS)


def check_name(name: str, known: Iterable[str]) -> None:
    """Raises:
    InvalidInput: this cannot be the name of a new kind.
    """
    if not _NAME.fullmatch(name) or len(name) > _LENGTH_MAX:
        raise InvalidInput(
            f'"{name}" cannot name a kind; use words of lower-case letters joined by dashes, '
            f"at most {_LENGTH_MAX} characters: topic-guard"
        )
    if name in known:
        raise InvalidInput(f'there is a kind "{name}" already, in {RULES}/{_snake(name)}')


def new_files(name: str) -> dict[str, str]:
    """Path and content of every file of a new kind."""
    snake = _snake(name)
    words = {"name": name, "snake": snake, "title": name.replace("-", " ").capitalize()}
    texts = {
        f"{RULES}/{snake}/__init__.py": "",
        f"{RULES}/{snake}/rule.py": _RULE,
        f"{RULES}/{snake}/cases.yaml": _CASES,
        f"{RULES}/{snake}/page.md": _PAGE,
        f"tests/policy/rules/test_{snake}.py": _TEST,
    }
    return {path: Template(text).substitute(words) for path, text in texts.items()}


def registered(name: str, sources: Mapping[str, str]) -> dict[str, str]:
    """The files that list every kind, with a new one in them.

    Args:
        sources: the content of each of ``REGISTERED_IN``.

    Raises:
        InvalidInput: one of them has not the form that this knows; it names the file.
    """
    snake = _snake(name)
    title = name.replace("-", " ").capitalize()
    edits: dict[str, Callable[[str], str]] = {
        _REGISTRY: lambda text: _before(text, '    "custom",\n', f'    "{name}",\n'),
        _REASONS: lambda text: _before(
            text,
            '        Reason(\n            "audit.recorded",',
            f"""\
        Reason(
            "{snake}.found",
            "{title}",
            "{name}",
            "The text contains a word that was looked for.",
            "Remove the word from words if it is wrong.",
        ),
""",
        ),
        _STANDARDS: lambda text: _before(
            text,
            '        "audit.recorded": ',
            f"""\
        "{snake}.found": Mapped(none="What it looks for decides; say here where it belongs."),
""",
        ),
    }
    made = {}
    for path, edit in edits.items():
        try:
            made[path] = edit(sources[path])
        except ValueError as error:
            raise InvalidInput(f"{path}: {error}; register the kind there by hand") from error
    return made


def _before(text: str, mark: str, addition: str) -> str:
    if text.count(mark) != 1:
        raise ValueError(f"{mark.strip()!r} does not stand there exactly once")
    return text.replace(mark, addition + mark)


def _snake(name: str) -> str:
    return name.replace("-", "_")


_RULE = '''\
"""$title: words of your own, as a first version to replace."""

from __future__ import annotations

from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.recogniser import RecogniserRule
from kintsugi.policy.rule import Rule, RuleKind, TextRuleOptions
from kintsugi.policy.terms import exact


class Options(TextRuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    words: found as whole words, without regard to case.
    """

    words: tuple[str, ...] = ()


_FOUND = "$snake.found"


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for one phase; the same in both."""
    return RecogniserRule(
        [
            exact(word, name=f"word_{number}", path=f"words.{number - 1}", reason_code=_FOUND)
            for number, word in enumerate(options.words, start=1)
        ]
    )


KIND = RuleKind(
    name="$name",
    title="$title",
    options=Options,
    phases=(Phase.INPUT, Phase.OUTPUT),
    default_action=Verdict.BLOCK,
    actions=(Verdict.ALLOW, Verdict.FLAG, Verdict.REDACT, Verdict.BLOCK),
    reasons=(_FOUND,),
    detector_version=1,
    message="The text contains something that is not wanted here.",
    method="Whole words in the shared scan.",
    cost="Part of the shared scan.",
    limits=("It finds what it was told to find.",),
    build=build,
)
'''

_CASES = """\
# What must be found and what must not; tests/policy/rules/test_cases.py runs them.
options: {words: [example]}
cases:
  - name: a word in a sentence
    text: This is an Example of it.
    finds: [word_1]
    span: Example
  - name: in an answer
    phase: output
    role: assistant
    text: an example
    finds: [word_1]
    verdict: block
  - name: part of another word is nothing
    text: exemplary examples
    finds: []
"""

_PAGE = """\
# $name

Finds words of your own in requests and answers. Gives reason code `$snake.found`.

```yaml
policy:
  $name: {words: [example], action: redact}
```

## Options

| option | default | meaning |
|---|---|---|
| `mode` | `enforce` | `enforce` acts; `monitor` records what it would have done |
| `on_error` | `block` | verdict when the rule itself fails: `allow`, `flag` or `block` |
| `action` | `block` | verdict of a finding: `allow`, `flag`, `redact` or `block` |
| `output_action` | as `action` | the same for answers |
| `phases` | everywhere | where the rule runs: `input`, `output` |
| `words` | none | found as whole words, without regard to case |

## Method

Whole words in the shared scan.

## Cost

Part of the shared scan. `kt policy bench` measures it.

## Limits

- It finds what it was told to find.

## Figures

None yet: `kt policy eval DATASET.jsonl --kind $name` measures it on labelled texts.
"""

_TEST = '''\
"""$title: what its cases cannot say."""

from __future__ import annotations

from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from tests.policy.configs import FACTS, config_of, findings, user


def test_a_finding_says_where_and_why() -> None:
    plan = compile_plan(config_of({"$name": {"words": ["example"]}}))
    decision = decide(plan, Phase.INPUT, ExchangeView(user("an example")), FACTS)
    assert decision.verdict is Verdict.BLOCK
    (found,) = findings(decision)
    assert (found.reason_code, found.offset, found.length) == ("$snake.found", 3, 7)


def test_nothing_is_found_in_other_words() -> None:
    plan = compile_plan(config_of({"$name": {"words": ["example"]}}))
    decision = decide(plan, Phase.INPUT, ExchangeView(user("something else")), FACTS)
    assert decision.verdict is Verdict.ALLOW
'''
