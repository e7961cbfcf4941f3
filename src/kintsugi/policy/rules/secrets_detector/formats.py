"""Formats of keys and tokens by which their issuers make them recognisable.

Written from the issuers' own documentation; a format that is only "so many letters and digits"
is not here: see ``generic.py``.
"""

from __future__ import annotations

import re

from kintsugi.policy.automata import Pattern

_WORD = r"[A-Za-z0-9_]"
_KEY = r"[A-Za-z0-9_-]"
_B64 = r"[A-Za-z0-9+/=_-]"


def _format(name: str, core: str, tail: str = "", *, needs: str = "") -> Pattern:
    """A format.

    Args:
        core: as much as is needed to be sure, with bounded repetitions: a stream is held back by
            its length.
        tail: the rest.
        needs: see ``Pattern``; where it is left out, the beginning of the core.
    """
    return Pattern(
        name,
        core,
        tail=tail,
        needs=needs or _beginning(core),
        ignore_case=False,
        group="numbers and keys",
    )


_LONG_RUN = re.compile(r"\{(\d{2,})(?:,\d+)?\}")


def _beginning(core: str) -> str:
    """Up to the first long run, of which four characters are enough to be looked at closely."""
    ends = []
    for alternative in _alternatives(core):
        run = _LONG_RUN.search(alternative)
        beginning = alternative[: run.start()] if run else alternative
        balanced = beginning.count("(") == beginning.count(")")
        ends.append(beginning + "{4}" if run and balanced else alternative)
    return "|".join(ends)


def _alternatives(regex: str) -> list[str]:
    """The expression cut at each ``|`` outside of groups and classes."""
    parts, depth, start, index = [], 0, 0, 0
    while index < len(regex):
        letter = regex[index]
        if letter == "\\":
            index += 1
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif letter == "|" and depth == 0:
            parts.append(regex[start:index])
            start = index + 1
        index += 1
    return [*parts, regex[start:]]


FORMATS: tuple[Pattern, ...] = (
    _format("aws_access_key_id", r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}\b"),
    _format(
        "aws_bedrock_api_key",
        r"\bABSK[A-Za-z0-9+/]{24}|\bbedrock-api-key-[A-Za-z0-9+/]{12}",
        rf"{_B64}*",
    ),
    _format("google_api_key", r"\bAIza[A-Za-z0-9_-]{35}"),
    _format("google_oauth_secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    _format("google_oauth_token", r"\bya29\.[A-Za-z0-9_-]{20}", r"[A-Za-z0-9_.-]*"),
    _format("gcp_service_account", r"\"type\"\s{0,3}:\s{0,3}\"service_account\""),
    _format(
        "azure_client_secret",
        r"(?:^|[^A-Za-z0-9_~.-])(?P<value>[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34})(?:$|[^A-Za-z0-9_~.-])",
    ),
    _format("azure_storage_key", r"\bAccountKey=[A-Za-z0-9+/]{80}", r"[A-Za-z0-9+/=]*"),
    _format("azure_sas", r"\bsig=[A-Za-z0-9%/+]{40}", r"[A-Za-z0-9%/+=]*"),
    _format(
        "openai_api_key",
        r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20}|\bsk-[A-Za-z0-9]{20}T3BlbkFJ|\bsk-[A-Za-z0-9]{40}",
        rf"{_KEY}*",
    ),
    _format(
        "anthropic_api_key", r"\bsk-ant-(?:api|admin|oat|sid)\d{2}-[A-Za-z0-9_-]{60}", rf"{_KEY}*"
    ),
    _format("openrouter_api_key", r"\bsk-or-v1-[0-9a-f]{40}", r"[0-9a-f]*"),
    _format("perplexity_api_key", r"\bpplx-[A-Za-z0-9]{32}", r"[A-Za-z0-9]*"),
    _format("groq_api_key", r"\bgsk_[A-Za-z0-9]{40}", r"[A-Za-z0-9]*"),
    _format("xai_api_key", r"\bxai-[A-Za-z0-9]{40}", r"[A-Za-z0-9]*"),
    _format("replicate_token", r"\br8_[A-Za-z0-9]{37}"),
    _format("huggingface_token", r"\bhf_[A-Za-z]{30}|\bapi_org_[A-Za-z]{30}", r"[A-Za-z0-9]*"),
    _format("github_token", r"\bgh[pousr]_[A-Za-z0-9]{36}", r"[A-Za-z0-9]*"),
    _format(
        "github_fine_grained_token", r"\bgithub_pat_[A-Za-z0-9]{22}_?[A-Za-z0-9_]{30}", rf"{_WORD}*"
    ),
    _format(
        "gitlab_token",
        r"\b(?:glpat|gldt|glrt|glcbt|glptt|glft|glimt|glagent|gloas|glsoat|glffct|glrtr|glwt)-[A-Za-z0-9_.-]{16}",
        r"[A-Za-z0-9_.-]*",
    ),
    _format("gitlab_session", r"\b_gitlab_session=[0-9a-z]{32}\b"),
    _format("gitlab_runner_token", r"\bGR1348941[A-Za-z0-9_-]{20}"),
    _format(
        "slack_token",
        r"\bxox(?:[abeprs][.\\]?(?:xox[bp])?-[A-Za-z0-9-]{10}|o-\d{1,14}-[A-Za-z0-9-]{8})",
        r"[A-Za-z0-9-]*",
    ),
    _format("slack_app_token", r"\bxapp-\d-[A-Z0-9]{6,12}-\d{6,15}-[a-z0-9]{8}", r"[a-z0-9]*"),
    _format(
        "slack_webhook",
        r"\bhooks.{0,2}slack.{0,2}com/(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20}",
        r"[A-Za-z0-9+/_-]*",
    ),
    _format(
        "discord_bot_token",
        r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",
        needs=r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.",
    ),
    _format(
        "discord_webhook",
        r"\bdiscord(?:app)?\.com/api/webhooks/\d{15,20}/[A-Za-z0-9_-]{40}",
        rf"{_KEY}*",
    ),
    _format("telegram_bot_token", r"\b\d{8,10}:A[A-Za-z0-9_-]{34}"),
    _format(
        "stripe_key",
        r"\b(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10}|\bwhsec_[A-Za-z0-9]{24}",
        r"[A-Za-z0-9]*",
    ),
    _format(
        "square_token",
        r"\b(?:EAAA|sq0[a-z]{3}-)[A-Za-z0-9_+=/-]{22}",
        r"[A-Za-z0-9_+=/-]*",
    ),
    _format(
        "paypal_braintree_token",
        r"\baccess_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",
    ),
    _format(
        "plaid_token",
        r"\baccess-(?:sandbox|development|production)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ),
    _format("flutterwave_key", r"\bFLW(?:SECK|PUBK)(?:_TEST)?-[0-9a-zA-Z]{12}", r"[0-9a-zA-Z-]*"),
    _format("shopify_token", r"\bshp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"),
    _format("twilio_key", r"\bSK[0-9a-fA-F]{32}\b"),
    _format(
        "sendgrid_key", r"\bSG\.[A-Za-z0-9=_-]{16,22}\.[A-Za-z0-9=_.-]{30,43}", r"[A-Za-z0-9=_.-]*"
    ),
    _format("mailgun_key", r"\b(?:key|pubkey)-[0-9a-f]{32}\b"),
    _format("mailchimp_key", r"\b[0-9a-f]{32}-us\d{1,2}\b", needs=r"[0-9a-f]{8}-us\d"),
    _format("sendinblue_key", r"\bxkeysib-[0-9a-f]{40}", r"[0-9a-zA-Z-]*"),
    _format("npm_token", r"\bnpm_[A-Za-z0-9]{36}"),
    _format(
        "pypi_token",
        r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{24}|\bpypi-AgENdGVzdC5weXBpLm9yZw[A-Za-z0-9_-]{20}",
        r"[A-Za-z0-9_-]*",
    ),
    _format("rubygems_key", r"\brubygems_[0-9a-f]{48}"),
    _format("clojars_token", r"\bCLOJARS_[A-Za-z0-9]{40}", r"[A-Za-z0-9]*"),
    _format("docker_token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20}", rf"{_KEY}*"),
    _format("digitalocean_token", r"\bdo[opr]_v1_[0-9a-f]{40}", r"[0-9a-f]*"),
    _format("databricks_token", r"\bdapi[0-9a-f]{32}(?:-\d)?"),
    _format("datadog_key", r"\bdd(?:api|app)?_?key[=:\s\"']{1,4}[0-9a-f]{32}"),
    _format(
        "dynatrace_token", r"\bdt0[a-z]\d{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{40}", r"[A-Za-z0-9]*"
    ),
    _format(
        "doppler_token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{30}", r"[A-Za-z0-9._-]*"
    ),
    _format("dropbox_token", r"\bsl\.[A-Za-z0-9_=-]{60}", r"[A-Za-z0-9_=-]*"),
    _format("easypost_key", r"\bEZ[AT]K[A-Za-z0-9]{54}"),
    _format(
        "facebook_token",
        r"\bEAA[A-Za-z0-9]{60}|\b\d{15,16}(?:\||%7C)[A-Za-z0-9_-]{27}",
        r"[A-Za-z0-9]*",
        needs=r"\bEAA[A-Za-z0-9]{10}|\d(?:\||%7C)[A-Za-z0-9_-]{10}",
    ),
    _format("figma_token", r"\bfig[dour]_[A-Za-z0-9_-]{40}", rf"{_KEY}*"),
    _format(
        "flyio_token",
        r"\bfo1_[A-Za-z0-9_-]{43}|\bfm[12][ar]?_[A-Za-z0-9+/]{60}",
        r"[A-Za-z0-9+/=_,-]*",
    ),
    _format("frameio_token", r"\bfio-u-[A-Za-z0-9_=-]{40}", r"[A-Za-z0-9_=-]*"),
    _format(
        "grafana_token",
        r"\bgls?[ac]_[A-Za-z0-9_+/]{24}|\beyJrIjoi[A-Za-z0-9]{40}",
        r"[A-Za-z0-9_+/=]*",
    ),
    _format("harness_key", r"\b(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[0-9A-Za-z]{24}\.[0-9A-Za-z]{20}"),
    _format(
        "hashicorp_terraform_token",
        r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40}",
        r"[A-Za-z0-9_=-]*",
        needs=r"\.atlasv1\.",
    ),
    _format("vault_token", r"\bhv[bsr]\.[A-Za-z0-9_.-]{24}", r"[A-Za-z0-9_.-]*"),
    _format("heroku_key", r"\bHRKU-[A-Za-z0-9_-]{36}", rf"{_KEY}*"),
    _format("infracost_token", r"(?:^|[^.A-Za-z0-9])(?P<value>ico-[A-Za-z0-9]{32})\b"),
    _format("intra42_secret", r"\bs-s4t2(?:ud|af)-[0-9a-f]{64}\b"),
    _format("linear_key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40}"),
    _format("lob_key", r"\b(?:live|test)_(?:pub_)?[0-9a-f]{31,35}\b"),
    _format(
        "mapbox_token",
        r"\b[ps]k\.[A-Za-z0-9]{50,64}\.[A-Za-z0-9_-]{20}",
        rf"{_KEY}*",
        needs=r"\b[ps]k\.[A-Za-z0-9]{8}",
    ),
    _format("maxmind_key", r"\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b", needs=r"_mmk\b"),
    _format("new_relic_key", r"\bNR(?:AK|AA|II|JS|RA)-[A-Za-z0-9-]{19}", r"[A-Za-z0-9-]*"),
    _format(
        "notion_token", r"\bntn_\d{8}[A-Za-z0-9]{32}|\bsecret_[A-Za-z0-9]{43}\b", r"[A-Za-z0-9]*"
    ),
    _format("octopus_key", r"\bAPI-[A-Z0-9]{26}\b"),
    _format(
        "onepassword_token",
        r"\bops_eyJ[A-Za-z0-9+/]{60}|\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
        r"[A-Za-z0-9+/=]*",
    ),
    _format("openshift_token", r"\bsha256~[A-Za-z0-9_-]{43}"),
    _format(
        "planetscale_token",
        r"\bpscale_(?:pw|tkn|oauth)_[A-Za-z0-9=_.-]{32}",
        r"[A-Za-z0-9=_.-]*",
    ),
    _format("postman_key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
    _format("prefect_key", r"\bpnu_[A-Za-z0-9]{36}\b"),
    _format("pulumi_token", r"\bpul-[0-9a-f]{40}\b"),
    _format("readme_key", r"\brdme_[a-z0-9]{64}", r"[a-z0-9]*"),
    _format("scalingo_token", r"\btk-us-[A-Za-z0-9_-]{40}", r"[A-Za-z0-9_-]*"),
    _format("sentry_token", r"\bsntry[su]_[A-Za-z0-9+/=_]{40}", r"[A-Za-z0-9+/=_-]*"),
    _format("settlemint_token", r"\bsm_(?:aat|pat|sat)_[A-Za-z0-9]{16}"),
    _format("shippo_token", r"\bshippo_(?:live|test)_[A-Fa-f0-9]{40}\b"),
    _format("supabase_key", r"\bsb[ps]_[A-Za-z0-9]{36}|\bsb_secret_[A-Za-z0-9_-]{20}", rf"{_KEY}*"),
    _format(
        "tailscale_key", r"\btskey-[a-z]{2,10}-[A-Za-z0-9]{8,24}-[A-Za-z0-9]{20}", r"[A-Za-z0-9]*"
    ),
    _format("twitter_bearer", r"\bA{20}[A-Za-z0-9%]{40}", r"[A-Za-z0-9%]*"),
    _format("typeform_token", r"\btfp_[A-Za-z0-9_.=-]{40}", r"[A-Za-z0-9_.=-]*"),
    _format(
        "yandex_token",
        r"\bAQVN[A-Za-z0-9_-]{35}|\bt1\.[A-Za-z0-9_-]{8,24}\.[A-Za-z0-9_-]{60}|\bYC[A-Za-z0-9_-]{38}\b",
        r"[A-Za-z0-9_=-]*",
        needs=r"\b(?:AQVN|t1\.[A-Z0-9a-z_-]{8}|YC[A-Za-z0-9_-]{38})",
    ),
    _format(
        "airtable_token",
        r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{60}",
        r"[0-9a-f]*",
        needs=r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{8}",
    ),
    _format("alibaba_key_id", r"\bLTAI[A-Za-z0-9]{16,20}"),
    _format("age_secret_key", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _format("artifactory_token", r"\bAKCp[A-Za-z0-9]{60}|\bcmVmd[A-Za-z0-9]{50}", r"[A-Za-z0-9]*"),
    _format(
        "authress_key",
        r"\b(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[a-z0-9+/_=-]{20}",
        r"[a-z0-9+/_=-]*",
        needs=r"\.acc[_-][a-z0-9]",
    ),
    _format("clickhouse_key", r"\b4b1d[A-Za-z0-9]{38}\b"),
    _format("cloudflare_origin_key", r"\bv1\.0-[0-9a-f]{24}-[0-9a-f]{60}", r"[0-9a-f]*"),
    _format("contentful_token", r"\bCFPAT-[A-Za-z0-9_-]{40}"),
    _format(
        "defined_networking_token", r"\bdnkey-[a-z0-9=_-]{26}-[a-z0-9=_-]{40}", r"[a-z0-9=_-]*"
    ),
    _format("duffel_token", r"\bduffel_(?:test|live)_[A-Za-z0-9_=-]{40}", r"[A-Za-z0-9_=-]*"),
    _format("private_ai_or_ssh_putty", r"\bPuTTY-User-Key-File-\d: [a-z0-9-]{6,24}"),
    _format(
        "private_key",
        r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:\s|\\[nr]){0,4}(?:[A-Za-z0-9+/=]{16}|Proc-Type|Version|Comment)",
        # Long unbroken lines, also where line ends are written as escapes, and what closes them.
        r"[A-Za-z0-9+/=]*(?:[^\n]{0,80}ENCRYPTED|DEK-Info[^\n]*|(?:\s|\\[nr])*[A-Za-z0-9+/=]{16,})*"
        r"(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{1,15})?(?:(?:\s|\\[nr])*-----END[A-Z0-9 ]*-----)?",
    ),
    # A header begins with one of a few names: {"alg": {"typ": {"kid": {"enc": {"cty": {"x5t" ...
    _format(
        "jwt",
        r"\beyJ(?:hbGci|0eXAi|raWQi|lbmMi|jdHki|4NXQi|qa3Ui|6aXAi|pc3Mi)[A-Za-z0-9_-]{12}",
        r"[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_=-]*){0,4}",
    ),
    _format("jwt_base64", r"\bZXlK(?:[A-Za-z0-9+/\\_-]{36})", r"[A-Za-z0-9+/\\_=-]*"),
)

# Not by their form but by their place.
URL_CREDENTIALS = _format(
    "url_credentials",
    r"\b[a-z][a-z0-9+.-]{1,15}://[^\s:@/\"'<>{}$\[\]]{1,40}:(?P<value>[^\s:@/\"'<>{}$\[\]()]{3,64})@[A-Za-z0-9]",
    needs=r"://[^\s:@/]{1,60}:[^\s@/]{3,80}@",
)
COMMAND_LINE_USER = _format(
    "command_line_user",
    r"\s(?:-u|--user)[ =]{1,2}[\"']?[^\s:\"'$]{1,40}:(?P<value>[^\s\"'$]{4,64})",
)
AUTHORIZATION_HEADER = _format(
    "authorization_header",
    r"(?i:authorization|x-api-key|api-key|x-auth-token|private-token)[\"']?\s{0,2}[:=]\s{0,2}[\"']?"
    r"(?i:(?:bearer|basic|token|api-?token|api-?key)\s{1,2})?(?P<value>[A-Za-z0-9+/=_.~-]{12,64})",
    rf"{_B64}*",
)
# Formats too plain to stand alone: the issuer's name must be near.
OKTA_TOKEN = _format("okta_token", r"\b00[A-Za-z0-9_=-]{40}", needs=r"(?i:okta|ssws)")
GOCARDLESS_TOKEN = _format(
    "gocardless_token", r"\blive_[A-Za-z0-9_=-]{40}", needs=r"(?i:gocardless)"
)
