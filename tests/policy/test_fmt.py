"""The canonical layout changes nothing but layout, whatever it is given, and is found at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kintsugi.policy
from kintsugi.errors import ConfigurationInvalid, InvalidInput
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import plain, read_document
from kintsugi.policy.fmt import format_source
from kintsugi.policy.fmt_lines import comments

TEMPLATES = Path(kintsugi.policy.__file__).parent / "templates"

MESSY = """\
# about the file

policy:
    # the one policy
    pii-detector: {action:   redact,entities: [us_ssn,email]}   # both ways
    dlp-filter:
        blocked_terms:
        - "codename aurora"
        -   'it''s'   # quotes stay


        detect_patterns: [no, 0o17, 1e3, ~]
    audit-logger:
# the name
pack: {name:  p, version: "1.0.0"}

policies: {chain: [pii-detector, dlp-filter, audit-logger]}
providers: {targets: [{id: local,
  provider: simulator}]}
# the end
"""
NEAT = """\
# about the file

# the name
pack: {name: p, version: "1.0.0"}

providers: {targets: [{id: local, provider: simulator}]}
# the end

policies: {chain: [pii-detector, dlp-filter, audit-logger]}

policy:
  # the one policy
  pii-detector: {action: redact, entities: [us_ssn, email]} # both ways
  dlp-filter:
    blocked_terms:
      - "codename aurora"
      - 'it''s' # quotes stay

    detect_patterns: [no, 0o17, 1e3, ~]
  audit-logger:
"""


def formatted(text: str) -> str:
    return format_source(text.encode(), file="p.yaml").after


def tree(text: str) -> object:
    problems = Problems("p.yaml")
    node = read_document(text, problems)
    assert node is not None
    assert not problems.found
    return plain(node)


def test_a_messy_file_becomes_neat() -> None:
    assert formatted(MESSY) == NEAT
    assert formatted(NEAT) == NEAT


def test_the_revision_is_the_same_before_and_after() -> None:
    source = MESSY.replace(", entities: [us_ssn,email]", "").replace("[no, 0o17, 1e3, ~]", "[abc]")
    done = format_source(source.replace("entities: [us_ssn,email]", "").encode(), file="p.yaml")
    assert done.changed
    assert done.revision.startswith("sha256:")


@pytest.mark.parametrize("file", sorted(TEMPLATES.glob("*/policy-config.yaml")), ids=str)
def test_every_template_has_the_canonical_layout(file: Path) -> None:
    assert not format_source(file.read_bytes(), file=file.name).changed


def test_a_collection_that_does_not_fit_on_a_line_is_written_as_a_block() -> None:
    text = f"pack: {{name: p, description: '{'x' * 60}', author: '{'y' * 60}'}}\n"
    assert formatted(text).splitlines() == [
        "pack:",
        "  name: p",
        f"  description: '{'x' * 60}'",
        f"  author: '{'y' * 60}'",
    ]


def test_values_of_several_lines_are_left_alone() -> None:
    text = "pack:\n  name: |\n    a  \n     # no comment\n\n\n    b\n  version: 1\n"
    assert formatted(text) == text


def test_the_line_for_editors_stays_at_the_top() -> None:
    line = "# yaml-language-server: $schema=x.json"
    text = f"{line}\n# about it\npolicy: {{a: 1}}\npack: {{name: p}}\n"
    after = f"{line}\n\npack: {{name: p}}\n\n# about it\npolicy: {{a: 1}}\n"
    assert formatted(text) == after


@pytest.mark.parametrize(
    "text", ["---\npack: {name: p}\n...\n", "\ufeffpack: {name: p}\r\n", "? pack\n: {name: p}\n"]
)
def test_other_ways_to_write_the_same_become_one(text: str) -> None:
    assert formatted(text) == "pack: {name: p}\n"


def test_anchors_and_merges_stay() -> None:
    text = "policy:\n  a: &one {x: 1}\n  b: *one\n  c:\n    <<: *one\n    y: 2\n"
    assert formatted(text) == text


def test_what_is_no_yaml_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"p\.yaml:1"):
        formatted("pack: [")
    with pytest.raises(InvalidInput, match="no configuration"):
        formatted("- a\n")


WORDS = st.sampled_from(
    ["a", "no", "0o17", "1e3", "~", '"q # q"', "'it''s'", "x y", "https://h/p#f", "''", "true"]
)
BLANK = st.sampled_from(["", "\n", "\n\n\n", "  \n"])
REMARK = st.sampled_from(["", " # c", "   #d", " # e # f"])


@st.composite
def flows(draw: st.DrawFn) -> str:
    blank = draw(st.sampled_from(["", " ", "   "]))
    items = draw(st.lists(WORDS, min_size=1, max_size=3))
    if draw(st.booleans()):
        return f"[{blank}{f',{blank}'.join(items)}]"
    inner = f",{blank}".join(f"k{n}: {item}" for n, item in enumerate(items))
    return f"{{{blank}{inner} }}"


@st.composite
def blocks(draw: st.DrawFn, depth: int, indent: int) -> str:
    """The lines below a key, each ended."""
    step = draw(st.integers(1, 4))
    pad = " " * (indent + step)
    is_list = draw(st.booleans())
    text = ""
    for number in range(draw(st.integers(1, 3))):
        if draw(st.integers(0, 4)) == 0:
            text += f"{pad}# own line {number}\n"
        head = "-" if is_list else f"key{number}:"
        choice = draw(st.integers(0, 4 if depth else 2))
        if choice == 4 and not is_list:
            remark = draw(REMARK)
            text += f"{pad}{head}{remark}\n{draw(blocks(depth - 1, indent + step))}"
        elif choice == 3 and not is_list:
            text += f"{pad}{head} |\n{pad}  text\n\n{pad}   # no comment\n"
        else:
            value = draw(flows() if choice == 2 else WORDS)
            text += f"{pad}{head} {value}{draw(REMARK)}\n"
        text += draw(BLANK)
    return text


@st.composite
def documents(draw: st.DrawFn) -> str:
    names = ["pack", "gateway", "providers", "policies", "policy", "testing", "other"]
    text = draw(st.sampled_from(["", "# head\n", "# head\n\n", "\n\n# a\n# b\n"]))
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)):
        text += draw(st.sampled_from(["", "# above\n", "\n# above\n\n"]))
        text += f"{name}:{draw(REMARK)}\n{draw(blocks(2, 0))}"
    return text + draw(st.sampled_from(["", "# end\n", "\n\n"]))


@settings(max_examples=60)
@given(documents())
def test_any_document_keeps_its_tree_and_its_comments(text: str) -> None:
    after = formatted(text)
    assert tree(after) == tree(text)
    assert sorted(comments(after)) == sorted(comments(text))
    assert formatted(after) == after


@given(st.text(alphabet="ab:-#'\"[]{}&*!|>\n ,", max_size=60))
def test_no_text_is_laid_out_wrongly(text: str) -> None:
    try:
        after = formatted(text)
    except (ConfigurationInvalid, InvalidInput):
        return
    assert tree(after) == tree(text)
    assert formatted(after) == after
