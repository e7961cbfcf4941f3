"""What each reason code is called in the public lists of threats to AI systems.

Three lists, pinned to the editions that were read: the OWASP Top 10 for LLM applications (2025),
the OWASP Top 10 for agentic applications (2026, version 1.0), and MITRE ATLAS (5.6.1 of May 2026).
Only ids and short names are kept. A code that has no place in a list says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

ATLAS_VERSION = "5.6.1"

OWASP_LLM: Mapping[str, str] = MappingProxyType(
    {
        "LLM01:2025": "Prompt Injection",
        "LLM02:2025": "Sensitive Information Disclosure",
        "LLM03:2025": "Supply Chain",
        "LLM04:2025": "Data and Model Poisoning",
        "LLM05:2025": "Improper Output Handling",
        "LLM06:2025": "Excessive Agency",
        "LLM07:2025": "System Prompt Leakage",
        "LLM08:2025": "Vector and Embedding Weaknesses",
        "LLM09:2025": "Misinformation",
        "LLM10:2025": "Unbounded Consumption",
    }
)

OWASP_AGENTIC: Mapping[str, str] = MappingProxyType(
    {
        "ASI01": "Agent Goal Hijack",
        "ASI02": "Tool Misuse and Exploitation",
        "ASI03": "Identity and Privilege Abuse",
        "ASI04": "Agentic Supply Chain Vulnerabilities",
        "ASI05": "Unexpected Code Execution",
        "ASI06": "Memory and Context Poisoning",
        "ASI07": "Insecure Inter-Agent Communication",
        "ASI08": "Cascading Failures",
        "ASI09": "Human-Agent Trust Exploitation",
        "ASI10": "Rogue Agents",
    }
)

# The techniques that a gateway can see; ATLAS has some 170.
ATLAS: Mapping[str, str] = MappingProxyType(
    {
        "AML.T0024": "Exfiltration via AI Inference API",
        "AML.T0029": "Denial of AI Service",
        "AML.T0031": "Erode AI Model Integrity",
        "AML.T0034": "Cost Harvesting",
        "AML.T0034.002": "Cost Harvesting: agentic",
        "AML.T0046": "Spamming AI System with Chaff Data",
        "AML.T0048": "External Harms",
        "AML.T0048.000": "External Harms: Financial Harm",
        "AML.T0048.001": "External Harms: Reputational Harm",
        "AML.T0048.002": "External Harms: Societal Harm",
        "AML.T0048.003": "External Harms: User Harm",
        "AML.T0051": "LLM Prompt Injection",
        "AML.T0051.000": "LLM Prompt Injection: Direct",
        "AML.T0051.001": "LLM Prompt Injection: Indirect",
        "AML.T0051.002": "LLM Prompt Injection: Triggered",
        "AML.T0053": "AI Agent Tool Invocation",
        "AML.T0054": "LLM Jailbreak",
        "AML.T0056": "Extract LLM System Prompt",
        "AML.T0057": "LLM Data Leakage",
        "AML.T0061": "LLM Prompt Self-Replication",
        "AML.T0068": "LLM Prompt Obfuscation",
        "AML.T0070": "RAG Poisoning",
        "AML.T0071": "False RAG Entry Injection",
        "AML.T0077": "LLM Response Rendering",
        "AML.T0080": "AI Agent Context Poisoning",
        "AML.T0081": "Modify AI Agent Configuration",
        "AML.T0085": "Data from AI Services",
        "AML.T0085.000": "Data from AI Services: RAG Databases",
        "AML.T0085.001": "Data from AI Services: AI Agent Tools",
        "AML.T0086": "Exfiltration via AI Agent Tool Invocation",
        "AML.T0093": "Prompt Infiltration via Public-Facing Application",
        "AML.T0099": "AI Agent Tool Data Poisoning",
        "AML.T0101": "Data Destruction via AI Agent Tool Invocation",
        "AML.T0110": "AI Agent Tool Poisoning",
    }
)

NAMES: Mapping[str, str] = MappingProxyType({**OWASP_LLM, **OWASP_AGENTIC, **ATLAS})


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """The places of one reason code.

    Attributes:
        none: why a list that is left empty has no place for it; one sentence.
    """

    llm: tuple[str, ...] = ()
    agentic: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    none: str = ""


_NOT_AGENTIC = "The agentic list has no entry for what a text says; its entries are about acting."
_NO_ADVERSARY = "ATLAS lists what adversaries do; this is a failure that needs none."
_OWN_WORKING = "It tells how the gateway itself worked, not what somebody tried."

_POOR = "A poor answer takes no adversary, and no agent that acts."

_LANGUAGE = "No list has a language as such; where it hides an attack, that has its own code."

_NOT_SECURITY = "OWASP's lists are about security; harmful content as such is in neither."

_LEAK = Mapped(llm=("LLM02:2025",), atlas=("AML.T0057",), none=_NOT_AGENTIC)
_HARMFUL = Mapped(
    atlas=("AML.T0048",),
    none=_NOT_SECURITY,
)
_UNTRUE = Mapped(llm=("LLM09:2025",), agentic=("ASI09",), none=_NO_ADVERSARY)
_MALFORMED = Mapped(llm=("LLM05:2025",), agentic=("ASI08",), none=_NO_ADVERSARY)
_OURS = Mapped(none=_OWN_WORKING)
_MISUSED = Mapped(llm=("LLM06:2025",), agentic=("ASI02",), atlas=("AML.T0053",))
_CONSUMED = Mapped(llm=("LLM10:2025",), agentic=("ASI02",), atlas=("AML.T0034.002",))
_SPENT = Mapped(llm=("LLM10:2025",), agentic=("ASI08",), atlas=("AML.T0034",))
_PRIVILEGE = Mapped(
    agentic=("ASI03",),
    none="Access to models as such is in neither the list for applications nor in ATLAS.",
)
_ROUTED = Mapped(
    llm=("LLM02:2025",), none="Where a provider stands is no attack and no act of an agent."
)

MAPPING: Mapping[str, Mapped] = MappingProxyType(
    {
        "policy.passed": _OURS,
        "rule.error": _OURS,
        "audit.recorded": _OURS,
        "exchange.rejected": _OURS,
        "exchange.interrupted": _OURS,
        "quarantine.in_force": _OURS,
        "containment.stopped": _OURS,
        "containment.review_required": _OURS,
        "containment.tool_disabled": _OURS,
        "containment.source_blocked": _OURS,
        "containment.request_changed": _OURS,
        "mcp_server.tool_denied": Mapped(
            llm=("LLM06:2025",), agentic=("ASI02",), atlas=("AML.T0053",)
        ),
        "prompt_injection.detected": Mapped(
            llm=("LLM01:2025", "LLM07:2025"),
            agentic=("ASI01",),
            atlas=("AML.T0051", "AML.T0054", "AML.T0056"),
        ),
        "pii.detected": _LEAK,
        "secrets.detected": Mapped(llm=("LLM02:2025",), agentic=("ASI03",), atlas=("AML.T0057",)),
        "dlp.term_matched": _LEAK,
        "dlp.pattern_matched": _LEAK,
        "dlp.classification_marked": _LEAK,
        "safety.unsafe_content": _HARMFUL,
        "schema.not_json": _MALFORMED,
        "schema.violated": _MALFORMED,
        "moderation.flagged": _HARMFUL,
        "citation.missing": _UNTRUE,
        "citation.unresolved": _UNTRUE,
        "citation.misquoted": _UNTRUE,
        "citation.unsupported": _UNTRUE,
        "groundedness.unsupported": _UNTRUE,
        "groundedness.judged_unsupported": _UNTRUE,
        "groundedness.no_context": _UNTRUE,
        "quality.scored": _OURS,
        "quality.below_threshold": Mapped(llm=("LLM09:2025",), none=_POOR),
        "language.not_allowed": Mapped(none=_LANGUAGE),
        "language.not_requested": Mapped(none=_LANGUAGE),
        "bias.wording": Mapped(atlas=("AML.T0048.002",), none=_NOT_SECURITY),
        "bias.mentioned": _OURS,
        "custom.matched": Mapped(none="What it means is for the author of the expression to say."),
        "agent_firewall.tool_denied": _MISUSED,
        "agent_firewall.arguments_unreadable": _MISUSED,
        "agent_firewall.binding_violated": Mapped(
            llm=("LLM06:2025",), agentic=("ASI03",), atlas=("AML.T0053", "AML.T0085.001")
        ),
        "agent_firewall.repeated_call": Mapped(
            llm=("LLM10:2025",), agentic=("ASI08",), atlas=("AML.T0034.002",)
        ),
        "agent_firewall.limit_reached": _CONSUMED,
        "agent_firewall.limit_near": _CONSUMED,
        "agent_firewall.transaction_limit": Mapped(
            llm=("LLM06:2025",), agentic=("ASI02",), atlas=("AML.T0048.000", "AML.T0053")
        ),
        "agent_firewall.approval_required": _MISUSED,
        "agent_firewall.egress_denied": Mapped(
            llm=("LLM02:2025", "LLM06:2025"), agentic=("ASI02",), atlas=("AML.T0086",)
        ),
        "agent_firewall.dangerous_argument": Mapped(
            llm=("LLM05:2025", "LLM06:2025"), agentic=("ASI05",), atlas=("AML.T0101",)
        ),
        "agent_firewall.hijack_suspected": Mapped(
            llm=("LLM01:2025",), agentic=("ASI01",), atlas=("AML.T0051.001", "AML.T0053")
        ),
        "agent_firewall.halted": Mapped(
            llm=("LLM06:2025",), agentic=("ASI08", "ASI10"), atlas=("AML.T0053",)
        ),
        "tool_validation.unknown_tool": _MISUSED,
        "tool_validation.invalid_arguments": Mapped(
            llm=("LLM05:2025", "LLM06:2025"), agentic=("ASI02",), atlas=("AML.T0053",)
        ),
        "tool_validation.schema_unusable": Mapped(
            llm=("LLM03:2025",), agentic=("ASI04",), atlas=("AML.T0110",)
        ),
        "tool_budget.exceeded": _CONSUMED,
        "rbac.identity_missing": _PRIVILEGE,
        "rbac.model_denied": _PRIVILEGE,
        "rbac.tool_denied": Mapped(
            llm=("LLM06:2025",), agentic=("ASI02", "ASI03"), atlas=("AML.T0053",)
        ),
        "rbac.data_denied": Mapped(llm=("LLM02:2025",), agentic=("ASI03",), atlas=("AML.T0057",)),
        "human_oversight.required": Mapped(
            llm=("LLM06:2025",), agentic=("ASI09",), none=_NO_ADVERSARY
        ),
        "human_oversight.sampled": _OURS,
        "data_routing.no_target": _ROUTED,
        "data_routing.narrowed": _ROUTED,
        "spend_limit.exceeded": _SPENT,
        "spend_limit.near": _SPENT,
        "spend_limit.price_unknown": _SPENT,
        "rate_limit.exceeded": Mapped(
            llm=("LLM10:2025",), agentic=("ASI08",), atlas=("AML.T0029", "AML.T0034")
        ),
    }
)


def mapped(code: str) -> Mapped:
    """The places of a reason code; empty ones where nobody has looked for them yet, which
    ``tests/policy/test_standards.py`` finds."""
    return MAPPING.get(code, Mapped())
