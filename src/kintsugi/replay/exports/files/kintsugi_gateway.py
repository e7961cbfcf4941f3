"""Asks a Kintsugi gateway what a regression case asks, and tells what its caller sees.

Part of an export of regression cases; Python 3.9 or newer, standard library only.

KT_GATEWAY_URL    where the gateway is; http://127.0.0.1:41002 if it is not set
KT_GATEWAY_KEY    key to present, where the gateway wants one
KT_GATEWAY_MODEL  model of requests that name none; sim-echo if it is not set
"""

import json
import os
import re
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 120
_LAST_WORD = re.compile(r"^: kt decision=(\w+)", re.MULTILINE)


class GatewayRefused(Exception):
    """No policy judged the request: the case could not run, which is not a failure."""


def ask(request):
    """What a caller sees: ``{"status", "verdict", "policy", "reason_code", "text"}``.

    ``request`` is ``{"endpoint", "headers", "body"}``; policy and reason are empty where nothing
    was stopped, because the gateway keeps them to itself then.
    """
    if isinstance(request, str):
        request = json.loads(request)
    body = request["body"]
    if not request["endpoint"].startswith("/mcp/"):
        body = {"model": os.environ.get("KT_GATEWAY_MODEL", "sim-echo"), **body}
    status, headers, answer = _post(request["endpoint"], request["headers"], body)
    streamed = headers.get("content-type", "").startswith("text/event-stream")
    documents = _frames(answer) if streamed else [_decoded(answer)]
    reason = next((found for one in documents for found in _reasons(one)), {})
    if (status >= 400 and not reason) or "x-kt-decision" not in headers:
        raise GatewayRefused(f"HTTP {status}: {answer[:300]}")
    last_word = _LAST_WORD.search(answer) if streamed else None
    return {
        "status": status,
        "verdict": last_word.group(1) if last_word else headers["x-kt-decision"],
        "policy": reason.get("policy", ""),
        "reason_code": reason.get("reason_code", ""),
        "text": _text(documents, streamed),
    }


def mismatches(expected, seen):
    """What did not come out as it should, a sentence each; empty where all did."""
    found = [
        f"expected {name} {expected[name]}, got {seen[name] or 'none'}"
        for name in ("verdict", "policy", "reason_code")
        if name in expected and expected[name] != seen[name]
    ]
    if expected.get("response_contains", "") not in seen["text"]:
        found.append(f"the answer lacks {expected['response_contains']!r}")
    if "response_excludes" in expected and expected["response_excludes"] in seen["text"]:
        found.append(f"the answer has {expected['response_excludes']!r}")
    return found


def call_api(prompt, options, context):
    """For promptfoo: a provider whose output is what ``ask`` tells, as JSON."""
    try:
        return {"output": json.dumps(ask(prompt), ensure_ascii=False)}
    except (GatewayRefused, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _post(endpoint, headers, body):
    url = os.environ.get("KT_GATEWAY_URL", "http://127.0.0.1:41002").rstrip("/") + endpoint
    if not url.startswith(("http://", "https://")):
        raise ValueError("KT_GATEWAY_URL must begin with http:// or https://")
    sent = {"Content-Type": "application/json", **headers}
    if endpoint.startswith("/mcp/"):
        sent["Accept"] = "application/json, text/event-stream"
    if key := os.environ.get("KT_GATEWAY_KEY"):
        sent["Authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, sent, method="POST")  # noqa: S310  # checked
    # Without proxies: what is asked here is hostile, and meant for this gateway only.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        names = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, names, answer.read().decode("utf-8", "replace")


def _decoded(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def _frames(text):
    lines = (line[5:].strip() for line in text.splitlines() if line.startswith("data:"))
    return [_decoded(line) for line in lines if line != "[DONE]"]


def _reasons(value):
    """The gateway's own words for why it stopped, wherever a dialect puts them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            own = key in ("error", "data", "kintsugi/policy_violation")
            if own and isinstance(inner, dict) and "reason_code" in inner:
                yield inner
            else:
                yield from _reasons(inner)


def _text(documents, streamed):
    """Every text of the answer; the pieces of a stream are joined."""
    joined = {}
    for document in documents:
        for path, text in _walk(document, ""):
            joined[path] = joined.get(path, "") + text if streamed else text
    return "\n".join(joined.values())


def _walk(value, path):
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            place = inner.get("index", number) if isinstance(inner, dict) else number
            yield from _walk(inner, f"{path}/{place}")
