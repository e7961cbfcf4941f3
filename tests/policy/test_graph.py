"""The graph of a configuration, and its drawings."""

from __future__ import annotations

import subprocess

import pytest

from kintsugi.policy.graph import Graph, dot, graph_of, mermaid
from kintsugi.policy.parse import parse_config
from tests.policy.configs import WITHOUT_OPTIONS, config_of

SOURCE = """\
pack: {name: p, version: 1.0.0}
providers:
  targets:
    - {id: local, provider: simulator, model: 'a "b" <c>', fallback: [other]}
    - {id: other, provider: simulator}
policies: {chain: [pii-detector, dlp-filter, audit-logger]}
policy:
  pii-detector: {mode: monitor, relaxed: {owner: ada, reason: x, expires: 2026-12-31}}
  dlp-filter: {action: block, output_action: flag, blocked_terms: [a]}
  audit-logger: {}
"""


def graph() -> Graph:
    return graph_of(parse_config(SOURCE))


def test_every_phase_shows_its_policies_in_order_with_what_they_do() -> None:
    found = graph()
    (request,), (answer, record) = found.before, found.after
    assert [group.phase for group in (request, answer, record)] == ["input", "output", "audit"]
    pii, dlp = request.policies
    assert (pii.policy, pii.mode, pii.stops) == ("pii-detector", "monitor", False)
    assert pii.relaxed == ("mode: monitor (ada until 2026-12-31)",)
    assert (dlp.action, dlp.stops) == ("block", True)
    assert answer.policies[1].action == "flag"
    assert [(target.id, target.fallback) for target in found.targets] == [
        ("local", ("other",)),
        ("other", ()),
    ]


def test_mermaid_joins_phases_targets_and_ends() -> None:
    lines = mermaid(graph()).splitlines()
    assert lines[0] == "flowchart LR"
    for line in (
        "  caller --> input",
        "  input --> upstream",
        "  upstream --> output",
        "  audit --> caller",
        "  upstream --> target_local",
        "  target_local -->|fails| target_other",
        "  input_dlp_filter -->|block| stopped",
        '  target_local[("local simulator a &quot;b&quot; &lt;c>")]',
    ):
        assert line in lines


@pytest.mark.needs("dot")
def test_graphviz_takes_the_drawing() -> None:
    subprocess.run(["dot", "-Tsvg"], input=dot(graph()), text=True, check=True, capture_output=True)


def test_dot_is_closed_and_quotes_what_is_foreign() -> None:
    text = dot(graph())
    assert text.count("{") == text.count("}")
    assert r"a \"b\" <c>" in text
    assert "lhead=cluster_input" in text


@pytest.mark.parametrize("kind", WITHOUT_OPTIONS)
def test_every_kind_that_runs_without_options_can_be_drawn(kind: str) -> None:
    assert kind.replace("-", "_") in mermaid(graph_of(config_of({kind: {}})))
