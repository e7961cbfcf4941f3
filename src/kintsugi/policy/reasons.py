"""Every reason code that a decision may carry, and what a person can do about it.

Codes are dotted, lower case and never change their meaning. A rule that gives a code which is not
listed here fails the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.standards import mapped


class Reason(msgspec.Struct, frozen=True):
    """One reason code.

    Attributes:
        policy: the kind that gives it, or ``gateway``; empty when any kind may.
        meaning: what happened, for somebody who reads the code for the first time.
        help: what to do when it is wrong, or happens too often.
        aliases: other spellings accepted on input; the code with underscores always is.
        owasp_llm, owasp_agentic, atlas: its places in the public lists; ``standards.py`` has the
            names and the editions.
        unmapped: why a list that is left empty has no place for it.
    """

    code: str
    title: str
    policy: str
    meaning: str
    help: str
    aliases: tuple[str, ...] = ()
    owasp_llm: tuple[str, ...] = ()
    owasp_agentic: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    unmapped: str = ""


def _registry(reasons: Iterable[Reason]) -> Mapping[str, Reason]:
    return MappingProxyType({reason.code: _placed(reason) for reason in reasons})


def _placed(reason: Reason) -> Reason:
    places = mapped(reason.code)
    return msgspec.structs.replace(
        reason,
        owasp_llm=places.llm,
        owasp_agentic=places.agentic,
        atlas=places.atlas,
        unmapped=places.none,
    )


REASONS: Mapping[str, Reason] = _registry(
    (
        Reason(
            "policy.passed",
            "Every policy passed",
            "",
            "No policy of the chain found anything that changes the answer.",
            "Nothing. If something should have been found, add a case to testing.suites and "
            "run kt policy test.",
            ("all_policies_passed",),
        ),
        Reason(
            "rule.error",
            "A rule failed",
            "",
            "A rule raised an error while it judged the text. Its on_error verdict was used, "
            "block unless the configuration says otherwise.",
            "Read the evaluation's why with kt policy explain; report it with the configuration "
            "revision. The record holds no text of the caller.",
        ),
        Reason(
            "prompt_injection.detected",
            "Prompt injection",
            "prompt-injection",
            "The request tries to override instructions, to draw out the system prompt, or to "
            "pass off its own text as the system's.",
            "Is it a false alarm? Keep the text as a case that expects allow, raise threshold, "
            "or set mode: monitor while you look at more of them.",
        ),
        Reason(
            "pii.detected",
            "Personal data",
            "pii-detector",
            "The text holds personal data such as a social security number, card, phone number "
            "or e-mail address. Each finding names the recogniser.",
            "Redaction lets the exchange go on without it. Choose recognisers and the action "
            "under policy.pii-detector.",
        ),
        Reason(
            "secrets.detected",
            "Credential",
            "secrets-detector",
            "The text holds something in the form of a live credential: a key, token, private "
            "key or password.",
            "Treat it as leaked and revoke it where it was issued. For test values, add a case "
            "that expects allow and narrow the rule.",
            ("secret_detected",),
        ),
        Reason(
            "dlp.term_matched",
            "Blocked term",
            "dlp-filter",
            "One of the configuration's blocked_terms stands in the text.",
            "Look at policy.dlp-filter.blocked_terms; with fuzzy_matching, a smaller "
            "max_distance finds fewer look-alikes.",
        ),
        Reason(
            "dlp.pattern_matched",
            "Data pattern",
            "dlp-filter",
            "One of the configuration's detect_patterns matched.",
            "Look at policy.dlp-filter.detect_patterns; make the expression narrower.",
        ),
        Reason(
            "dlp.classification_marked",
            "Classification marking",
            "dlp-filter",
            "The text carries a marking such as SECRET or INTERNAL ONLY.",
            "policy.dlp-filter.sensitivity_level says which markings count.",
        ),
        Reason(
            "safety.unsafe_content",
            "Unsafe content",
            "safety-filter",
            "A category of unsafe content, or a word of your own from block_if, was found.",
            "Choose categories under policy.safety-filter, or let the action be flag while you "
            "measure how often it is right.",
            ("content_safety", "unsafe_content"),
        ),
        Reason(
            "schema.not_json",
            "Not JSON",
            "schema-validator",
            "The answer had to be JSON and is not, or not in one way only: a key stands twice.",
            "Ask the model for JSON (response_format), or let fenced: true take it out of the "
            "words around it.",
        ),
        Reason(
            "schema.violated",
            "Wrong form",
            "schema-validator",
            "The answer is JSON and does not fit the schema. Each finding has the JSON pointer of "
            "what does not fit, and what would.",
            "Compare policy.schema-validator.schema, or the request's response_format, with what "
            "the model was told.",
        ),
        Reason(
            "moderation.flagged",
            "Moderation service objects",
            "external-moderation",
            "A moderation service gave a category a score that reaches its threshold. The finding "
            "names the category and the score.",
            "Raise the category's threshold under policy.external-moderation.thresholds, or name "
            "the categories that count.",
        ),
        Reason(
            "citation.missing",
            "Nothing cited",
            "citation-verifier",
            "The request brought sources, and the answer cites none of them, or too few of its "
            "statements do.",
            "Tell the model to cite ([1]), or lower min_coverage under policy.citation-verifier.",
        ),
        Reason(
            "citation.unresolved",
            "Cites what is not there",
            "citation-verifier",
            "The answer cites a number, name, URL or author that is in none of the request's "
            "sources.",
            "Look at the span that the finding names, and at how retrieval writes its sources; "
            "the policy's page lists the forms that are recognised.",
        ),
        Reason(
            "citation.misquoted",
            "Quotes what nobody wrote",
            "citation-verifier",
            "The answer quotes words that do not stand in the request.",
            "Compare the span with the source. min_confidence says how much of a quote must be "
            "found.",
        ),
        Reason(
            "citation.unsupported",
            "Source does not say so",
            "citation-verifier",
            "A statement shares too few words with the source that it cites.",
            "Compare the two; min_groundedness says how many words they must share.",
        ),
        Reason(
            "groundedness.unsupported",
            "Not in the sources",
            "groundedness",
            "Sentences of the answer share too few words with every passage of its context, or "
            "name a number that stands nowhere in it.",
            "Read the spans beside the sources. min_support and min_groundedness under "
            "policy.groundedness say how much is asked for; a judge tells paraphrase from "
            "invention.",
        ),
        Reason(
            "groundedness.judged_unsupported",
            "Judged to be unsupported",
            "groundedness",
            "The configured model finds that sentences of the answer do not follow from its "
            "context.",
            "Read the spans beside the sources; the model's answer is on the record.",
        ),
        Reason(
            "groundedness.no_context",
            "Nothing to rest on",
            "groundedness",
            "The answer makes statements, and the request brought no sources for them.",
            "Look at retrieval, or set require_context: false where answers may come from the "
            "model alone.",
        ),
        Reason(
            "quality.scored",
            "Quality scored",
            "quality-scorer",
            "The answer was scored, and no score is below its threshold. The evaluation's finding "
            "has the scores.",
            "Nothing.",
        ),
        Reason(
            "quality.below_threshold",
            "Quality too low",
            "quality-scorer",
            "A score of the answer is below its threshold. The finding names the score and what "
            "was wanted.",
            "Look at the answer; change thresholds or weights under policy.quality-scorer where "
            "it was good enough.",
        ),
        Reason(
            "language.not_allowed",
            "Language not allowed",
            "language-validator",
            "A paragraph is in a language that policy.language-validator does not list. The "
            "finding names the language.",
            "Add the language to allowed_languages, or raise min_confidence where it was not that "
            "language.",
        ),
        Reason(
            "language.not_requested",
            "Answered in another language",
            "language-validator",
            "The answer is not in the language of the last user message.",
            "Tell the model which language to answer in, or set same_as_request: false.",
        ),
        Reason(
            "bias.wording",
            "Wording about a protected group",
            "bias-monitor",
            "The text says something general about a protected group, or rests a decision on a "
            "protected characteristic. The finding names the characteristic and the pattern.",
            "Read the span in its context: the pattern cannot tell a quote from a judgement. "
            "policy.bias-monitor.protected_characteristics says what is watched.",
        ),
        Reason(
            "bias.mentioned",
            "Protected groups spoken of",
            "bias-monitor",
            "The text speaks of protected groups; the finding counts how often of which. By "
            "itself this means nothing: the counts are there to be compared over many events.",
            "Nothing.",
        ),
        Reason(
            "custom.matched",
            "Rule of your own",
            "custom",
            "An expression of policy.custom was true. The finding names the rule.",
            "Read the rule's expression under policy.custom.rules; a case with the same exchange "
            "shows what a change to it would do.",
        ),
        Reason(
            "agent_firewall.tool_denied",
            "Tool not allowed",
            "agent-firewall",
            "A tool was called, or offered, that the caller's role may not use.",
            "Look at allowed_tools, blocked_tools and tools.roles; the finding names the role.",
            ("tool_denied", "tool_blocked"),
        ),
        Reason(
            "agent_firewall.arguments_unreadable",
            "Arguments cannot be read",
            "agent-firewall",
            "The arguments of a call that has bound arguments are no JSON object, or give one key "
            "twice, so that two programs could read two things.",
            "Look at what the model sent; tool-validation reports the same for every tool.",
        ),
        Reason(
            "agent_firewall.binding_violated",
            "Other entity",
            "agent-firewall",
            "An argument such as an account id is not what the session is about, or the claim it "
            "is compared with was not sent.",
            "Check that the application sends the claim; then look at what made the model call a "
            "tool for somebody else.",
        ),
        Reason(
            "agent_firewall.repeated_call",
            "Repeated call",
            "agent-firewall",
            "The same call was made too often in a conversation, calls go round in circles, or a "
            "call that may succeed only once was made again.",
            "A tool whose result the model does not understand is the usual cause. repeats has "
            "the limits.",
        ),
        Reason(
            "agent_firewall.limit_reached",
            "Too many tool calls",
            "agent-firewall",
            "The calls of a session, or of a minute, are used up.",
            "Look at max_actions_per_session, rate_limits and rate_limit.",
        ),
        Reason(
            "agent_firewall.limit_near",
            "Tool calls nearly used up",
            "agent-firewall",
            "The calls of a session or minute have reached monitoring.alert_threshold_percent.",
            "Nothing yet; the limit comes soon.",
        ),
        Reason(
            "agent_firewall.transaction_limit",
            "Amount too large",
            "agent-firewall",
            "An amount in a call, or the sum of a session or day, is above its limit, or is no "
            "number.",
            "Look at transaction_limits; amount_arguments says which arguments count.",
        ),
        Reason(
            "agent_firewall.approval_required",
            "Approval required",
            "agent-firewall",
            "A call may go on only when a person approves it: because of its tool, or its amount.",
            "Approve or reject the escalation. require_approval_for and "
            "transaction_limits.require_approval_above say what needs one.",
        ),
        Reason(
            "agent_firewall.egress_denied",
            "Address not allowed",
            "agent-firewall",
            "An address in the arguments is not allowed, private, or written so that programs "
            "read it differently. The finding says which.",
            "Look at egress: allowed_hosts, allow_private, ignored_arguments.",
        ),
        Reason(
            "agent_firewall.dangerous_argument",
            "Dangerous argument",
            "agent-firewall",
            "The arguments hold a command that destroys, a statement that names no rows, or a path "
            "out of bounds.",
            "If it was meant, name the finding under dangerous.allow, or the tool's text argument "
            "under dangerous.ignored_arguments.",
        ),
        Reason(
            "agent_firewall.hijack_suspected",
            "Hijacked call",
            "agent-firewall",
            "The call does what content told the model, and not what the user asked.",
            "Look at the tool results before it. provenance.threshold says how sure it must be.",
        ),
        Reason(
            "agent_firewall.halted",
            "Agent halted",
            "agent-firewall",
            "A kill switch stopped the session: too many tool failures, or personal data in an "
            "action.",
            "Find out why, then release the quarantine. kill_switches has the limits.",
        ),
        Reason(
            "tool_validation.unknown_tool",
            "Unknown tool",
            "tool-validation",
            "A tool was called that is not declared.",
            "Declare it under declared_tools or schemas, or offer it in the request.",
            ("tool_undeclared",),
        ),
        Reason(
            "tool_validation.invalid_arguments",
            "Invalid arguments",
            "tool-validation",
            "The arguments of a call do not fit the tool's schema, or cannot be read in one way "
            "only. The finding says what is wrong, and where in the schema that is said.",
            "Is the schema right? Then the call was wrong; it would have failed, or done something "
            "else than it seems.",
        ),
        Reason(
            "tool_validation.schema_unusable",
            "Unusable schema",
            "tool-validation",
            "The schema that the request declares for a tool is no JSON Schema, or refers to "
            "something outside itself, so its arguments cannot be checked.",
            "Correct the tool's definition, or give a schema under schemas.",
        ),
        Reason(
            "tool_budget.exceeded",
            "Tool budget used up",
            "tool-budget",
            "The calls, tokens or money that a tool may use up are used up.",
            "Look at budgets; per and period say whose and for how long.",
        ),
        Reason(
            "rbac.identity_missing",
            "Caller not known",
            "rbac",
            "A header that every request must carry is missing, or no gateway key was shown.",
            "Send the header; deny_if_missing and require_auth say what is needed.",
        ),
        Reason(
            "rbac.model_denied",
            "Model not allowed",
            "rbac",
            "The caller's role may not use this model.",
            "Look at allowed_models and denied_models of the role; the finding names it.",
        ),
        Reason(
            "rbac.tool_denied",
            "Tool not allowed for the role",
            "rbac",
            "A tool was called, or offered, that the caller's role may not use.",
            "Look at allowed_tools and denied_tools of the role; the finding names it.",
        ),
        Reason(
            "rbac.data_denied",
            "Data not allowed",
            "rbac",
            "The request holds data that is more sensitive than the caller's role may send.",
            "Look at data_access and minimum_necessary; what was found stands in the findings of "
            "the other policies.",
        ),
        Reason(
            "human_oversight.required",
            "A person must look first",
            "human-oversight",
            "The subject, tool, amount, workflow, agent, model or finding is one that a person "
            "must see before it goes on.",
            "Approve or reject the escalation. The finding says which condition it was.",
        ),
        Reason(
            "human_oversight.sampled",
            "Picked as a sample",
            "human-oversight",
            "The exchange is one of the share that is always looked at.",
            "Approve or reject it; sample_percent is the share.",
        ),
        Reason(
            "data_routing.no_target",
            "No provider may receive it",
            "data-routing-policy",
            "No target meets what the configuration requires for this data, caller or model.",
            "Look at the targets' region, tags and data_policy, and at the rules that apply.",
        ),
        Reason(
            "data_routing.narrowed",
            "Providers narrowed down",
            "data-routing-policy",
            "Only some targets meet what is required; one of them answered.",
            "Nothing: the finding lists who was left.",
        ),
        Reason(
            "spend_limit.exceeded",
            "Spending limit",
            "spend-limit",
            "What the exchange may cost does not fit under a limit any more.",
            "Wait, raise the limit, ask a cheaper model, or bound the answer with max_tokens: the "
            "most that it may cost is reserved first.",
            ("budget_exceeded",),
        ),
        Reason(
            "spend_limit.near",
            "Spending limit near",
            "spend-limit",
            "Spending has reached warn_at_percent of a limit.",
            "Nothing yet; the limit comes soon.",
        ),
        Reason(
            "spend_limit.price_unknown",
            "Price not known",
            "spend-limit",
            "The model that was asked for has no price, so what it costs cannot be limited.",
            "Add it under prices, or set unknown_model: allow.",
        ),
        Reason(
            "rate_limit.exceeded",
            "Rate limit",
            "rate-limit",
            "More requests or tokens than allowed in the time.",
            "Try again after the time in Retry-After. limits says who may do how much.",
            ("rate_limit", "rate_limited"),
        ),
        Reason(
            "audit.recorded",
            "Recorded",
            "audit-logger",
            "The decision and every policy's result were written to the record.",
            "Nothing.",
        ),
        Reason(
            "mcp_server.tool_denied",
            "Tool not offered here",
            "gateway",
            "The configuration does not let anybody call this tool of this MCP server.",
            "mcp.servers[].tools says which tools there are: allow names them, deny goes first.",
        ),
        Reason(
            "exchange.rejected",
            "Rejected",
            "gateway",
            "The gateway ended the exchange before any policy judged it: the request could not be "
            "read, was too large or too slow, showed no valid key or named no configured model, "
            "or the configuration was switched off. The event's error says which.",
            "Look up the error in the manual under Gateway. Repeated rejections of one caller "
            "mostly mean a wrong address, key or model name.",
        ),
        Reason(
            "quarantine.in_force",
            "In quarantine",
            "gateway",
            "An earlier decision froze this session, agent, user, key or address; nothing of it "
            "passes, and nobody looked at this request. The event names the quarantine.",
            "Find out why with kt events show QUARANTINE-ID; kt quarantine release ends it.",
        ),
        Reason(
            "containment.stopped",
            "Stopped",
            "gateway",
            "A person stopped whatever this exchange belongs to; the event names the containment.",
            "See kt containments show ID for who and why; kt release ends it.",
        ),
        Reason(
            "containment.review_required",
            "Every answer is reviewed",
            "gateway",
            "A containment has a person look at every answer in its scope.",
            "A reviewer decides: kt escalations list; kt release ends the containment.",
        ),
        Reason(
            "containment.tool_disabled",
            "Tool disabled",
            "gateway",
            "A containment disabled this tool, or allows others only.",
            "See kt containments show ID for who and why; kt release ends it.",
        ),
        Reason(
            "containment.source_blocked",
            "Source blocked",
            "gateway",
            "The request carries what a blocked source returned.",
            "Take the source out of retrieval until it is clean; kt release ends the containment.",
        ),
        Reason(
            "containment.request_changed",
            "Request changed",
            "gateway",
            "A containment caps the context or asks another model.",
            "See kt containments show ID for who and why; kt release ends it.",
        ),
        Reason(
            "exchange.interrupted",
            "Interrupted",
            "gateway",
            "The gateway stopped while the exchange was under way. The record was made at the "
            "next start from what had been admitted; no verdict was reached.",
            "Look for kills and crashes of the gateway at that time.",
        ),
    )
)

_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        spelling: reason.code
        for reason in REASONS.values()
        for spelling in (reason.code, reason.code.replace(".", "_"), *reason.aliases)
    }
)


def parse_reason_code(text: str) -> str:
    """The canonical code of any accepted spelling.

    Raises:
        ValueError: no such code; the message names the nearest one.
    """
    spelling = text.strip().lower()
    if spelling in _SPELLINGS:
        return _SPELLINGS[spelling]
    near = nearest_reason_code(text)
    hint = f'; did you mean "{near}"?' if near else ""
    raise ValueError(f'unknown reason code "{text}"{hint}')


def nearest_reason_code(text: str) -> str:
    """The registered code that was probably meant; empty when none is near."""
    return _SPELLINGS.get(nearest(text, _SPELLINGS), "")
