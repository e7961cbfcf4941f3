"""Arguments that no tool should be sent: commands that destroy, statements without bounds, paths
out of bounds. Wording here is certain rather than complete: each stands for an act, not a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from kintsugi.policy.automata import Pattern
from kintsugi.policy.probe import Confirm
from kintsugi.policy.recogniser import Recogniser

DANGEROUS = "agent_firewall.dangerous_argument"

_DELETE = re.compile(r"\bdelete\s{1,4}from\b", re.IGNORECASE)
_UPDATE = re.compile(r"\bupdate\s{1,4}[^\s;]{1,120}\s{1,4}set\s", re.IGNORECASE)
_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)
_ALWAYS_TRUE = re.compile(
    r"\bwhere\s{1,4}\(?\s{0,4}(?:1\s{0,3}=\s{0,3}1|true|'1'\s{0,3}=\s{0,3}'1'|not\s{1,4}false)"
    r"\s{0,4}\)?\s{0,4}\Z",
    re.IGNORECASE,
)


def unbounded(kind: re.Pattern[str], text: str) -> bool:
    """Whether a statement of a kind names no rows, or all of them. One pass: a statement that has
    two verbs is judged by what follows the first."""
    for statement in text.split(";"):
        verb = kind.search(statement)
        if verb is not None and (
            _WHERE.search(statement, verb.end()) is None or _ALWAYS_TRUE.search(statement)
        ):
            return True
    return False


_SHELL = (
    ("delete_tree", r"\brm\s{1,4}(?:-[a-z-]{1,20}\s{1,4}){0,6}-(?:[a-z]{0,6}r[a-z]{0,6}|-recursive)\b(?:\s{1,4}-[a-z-]{1,20}){0,6}\s{1,4}(?:--\s{1,4})?[\"']?(?:/(?:\*|\s|\"|'|$|(?:bin|boot|dev|etc|home|lib|opt|proc|root|sbin|srv|sys|usr|var)\b)|~|\$\{?HOME|\*|\.{1,2}(?:/|\s|$))"),
    ("delete_tree", r"\b(?:del|erase)\s{1,4}(?:/[a-z]\s{0,4}){1,4}[\"']?[a-z]:\\|\b(?:rd|rmdir)\s{1,4}/s\b|\bformat\s{1,4}[a-z]:(?:\s|$)|\bRemove-Item\b[^|;\n]{0,120}-Recurse\b"),
    ("overwrite_disk", r"\bdd\s{1,4}[^;|\n]{0,120}\bof=/dev/(?:sd|hd|nvme|vd|xvd|disk)|\bmkfs(?:\.[a-z0-9]{1,8})?\s|>\s{0,4}/dev/(?:sd|hd|nvme|vd|xvd)[a-z0-9]|\bshred\s{1,4}[^;|\n]{0,80}/dev/"),
    ("fork_bomb", r":\s{0,3}\(\s{0,3}\)\s{0,3}\{\s{0,3}:\s{0,3}\|\s{0,3}:\s{0,3}&\s{0,3}\}\s{0,3};\s{0,3}:"),
    ("pipe_to_shell", r"\b(?:curl|wget|fetch)\b[^;\n]{0,300}\|\s{0,4}(?:sudo\s{1,4})?(?:/(?:usr/)?bin/)?(?:ba|z|k|c|da)?sh\b|\b(?:curl|wget)\b[^;\n]{0,300}\|\s{0,4}(?:sudo\s{1,4})?(?:python[0-9.]{0,5}|perl|ruby|node)\b|\b(?:ba|z|da)?sh\s{1,4}(?:-c\s{1,4})?[\"']?(?:<\(|\$\()\s{0,4}(?:curl|wget)\b"),
    ("pipe_to_shell", r"\b(?:iex|Invoke-Expression)\b[^\n]{0,120}\b(?:DownloadString|Invoke-WebRequest|iwr|Net\.WebClient)\b|\b(?:DownloadString|iwr|Invoke-WebRequest)\b[^\n]{0,200}\|\s{0,4}(?:iex|Invoke-Expression)\b|\bpowershell(?:\.exe)?\b[^\n]{0,80}\s-e(?:nc(?:odedcommand)?)?\s{1,4}[A-Za-z0-9+/=]{20}"),
    ("decode_to_shell", r"\bbase64\s{1,4}(?:-d|-D|--decode)\b[^;\n]{0,120}\|\s{0,4}(?:sudo\s{1,4})?(?:ba|z|da)?sh\b"),
    ("reverse_shell", r"/dev/(?:tcp|udp)/[^\s/]{1,255}/\d{1,5}|\bnc(?:at)?\b[^;|\n]{0,80}\s-[a-z]{0,4}[ec]\s{0,4}(?:/bin/|cmd)|\bsocat\b[^;\n]{0,120}\bexec:|\bpty\.spawn\s{0,3}\(|\bsocket\.socket\b[^\n]{0,300}\bdup2\b|\bmkfifo\b[^\n]{0,120}\bnc\b"),
    ("open_permissions", r"\bchmod\s{1,4}(?:-[a-z]{1,6}\s{1,4}){0,3}(?:0?777|a\+rwx|u\+s|4[0-7]{3})\s{1,4}[\"']?/|\bchown\s{1,4}-R\s{1,4}[^\s]{1,60}\s{1,4}/(?:\s|$|etc|usr|var)"),
    ("halt_machine", r"(?:^|[;&|\n]\s{0,4}|\bsudo\s{1,4})(?:shutdown|poweroff|halt|reboot|init\s{1,4}[06])(?:\s|;|&|$)|\bkill\s{1,4}-9\s{1,4}-1\b"),
    ("erase_traces", r"\bhistory\s{1,4}-c\b|>\s{0,4}(?:~|/root|/home/[^/\s]{1,64})/\.(?:bash|zsh)_history\b|\bunset\s{1,4}HISTFILE\b|\brm\b[^;|\n]{0,60}/var/log/|\bauditctl\s{1,4}-e\s{0,2}0\b|\bwevtutil\s{1,4}cl\b"),
    ("persistence", r"\bcrontab\s{1,4}-r\b|>>\s{0,4}(?:~|/root|/home/[^/\s]{1,64})/\.ssh/authorized_keys|>>?\s{0,4}/etc/(?:passwd|shadow|sudoers|crontab|ld\.so\.preload)\b|\bNOPASSWD\s{0,3}:\s{0,3}ALL\b"),
    ("disable_guard", r"\bsetenforce\s{1,4}0\b|\bufw\s{1,4}disable\b|\biptables\s{1,4}-F\b|\bSet-MpPreference\b[^\n]{0,80}-DisableRealtimeMonitoring\b|\bnetsh\s{1,4}advfirewall\b[^\n]{0,60}\boff\b"),
    ("destroy_cloud", r"\bterraform\s{1,4}destroy\b[^\n]{0,80}-auto-approve|\bkubectl\s{1,4}delete\s{1,4}(?:ns|namespaces?|all)\b|\bkubectl\s{1,4}delete\b[^;\n]{0,80}--all\b|\baws\s{1,4}s3\s{1,4}(?:rb|rm)\b[^;\n]{0,120}--(?:force|recursive)\b|\bdocker\s{1,4}system\s{1,4}prune\b[^;\n]{0,40}-a"),
    ("rewrite_history", r"\bgit\s{1,4}push\b[^;|\n]{0,120}\s(?:--force\b|-f\b|--mirror\b)|\bgit\s{1,4}(?:filter-branch|reflog\s{1,4}expire)\b"),
)  # fmt: skip
_SQL = (
    ("drop_data", r"\bdrop\s{1,4}(?:table|database|schema|view|user|role)\b\s{1,4}[\w\"`\[.]|\btruncate\s{1,4}(?:table\s{1,4})?[\w\"`\[.]{1,120}\s{0,4}(?:;|$|\n|cascade\b)"),
    ("stacked_statement", r"['\")\d]\s{0,4};\s{0,4}(?:drop|delete|update|insert|alter|exec(?:ute)?|grant|create|shutdown)\s"),
    ("always_true", r"['\"]\s{0,4}(?:or|\|\|)\s{1,4}['\"]?\w{1,20}['\"]?\s{0,3}=\s{0,3}['\"]?\w{1,20}\s{0,4}(?:--|#|/\*|['\"]|$|\n)|\bor\s{1,4}1\s{0,3}=\s{0,3}1\b"),
    ("union_select", r"['\")\d]\s{1,4}union\s{1,4}(?:all\s{1,4})?select\b"),
    ("run_program", r"\bxp_cmdshell\b|\binto\s{1,4}(?:out|dump)file\s{1,4}['\"]|\bload_file\s{0,3}\(|\bcopy\b[^;]{1,200}\b(?:to|from)\s{1,4}program\s{1,4}['\"]|\bsp_oacreate\b|\bpg_read_file\s{0,3}\("),
    ("grant_everything", r"\bgrant\s{1,4}all\b[^;]{0,120}\bto\b|\balter\s{1,4}(?:user|role)\b[^;]{0,120}\bsuperuser\b"),
)  # fmt: skip
_SQL_UNBOUNDED = (
    ("delete_without_where", r"\bdelete\s{1,4}from\s{1,4}[\w\"`\[\].]{1,120}"),
    ("update_without_where", r"\bupdate\s{1,4}[\w\"`\[\].]{1,120}\s{1,4}set\s"),
)
_PATH = (
    ("path_traversal", r"(?:^|[\s\"'=(/\\])(?:\.\.[/\\]){2,40}|(?:^|[\s\"'=(])\.\.[/\\](?:etc|root|home|proc|sys|windows|\.ssh|\.aws|\.env)\b|(?:^|[\w/\\])[/\\]\.\.[/\\]\.\.(?:[/\\]|\s|$)|(?:%2e|\.){2}(?:%2f|%5c)|%c0%ae|\.\.;/|\.{4}//"),
    ("null_byte", r"\x00|%00"),
    ("system_secret", r"(?:^|[\s\"'=<(:/\\])/?etc/(?:passwd|shadow|gshadow|sudoers|master\.passwd|krb5\.keytab)\b|/proc/(?:self|\d{1,10})/(?:environ|mem|maps|cmdline)\b|\\(?:windows|winnt)\\system32\\config\\(?:sam|system|security)\b|\bntds\.dit\b"),
    ("user_secret", r"(?:^|[\s\"'=<(:/\\~])\.(?:ssh[/\\](?:id_[a-z0-9]{1,12}|authorized_keys|config)|aws[/\\]credentials|kube[/\\]config|docker[/\\]config\.json|netrc|pgpass|npmrc|pypirc|git-credentials|gnupg[/\\]|vault-token)\b|/var/run/secrets/kubernetes\.io/|\bLogin Data\b|\bkeychain-db\b"),
)  # fmt: skip


def _recognisers(patterns: tuple[tuple[str, str], ...], group: str) -> list[Recogniser]:
    return [
        Recogniser(Pattern(name, f"(?i:{regex})", group=group), DANGEROUS)
        for name, regex in patterns
    ]


CATEGORIES: Mapping[str, list[Recogniser]] = MappingProxyType(
    {
        "shell": _recognisers(_SHELL, "shell"),
        "sql": _recognisers((*_SQL, *_SQL_UNBOUNDED), "sql"),
        "path": _recognisers(_PATH, "path"),
    }
)
CONFIRM: Mapping[str, Confirm] = MappingProxyType(
    {
        "delete_without_where": partial(unbounded, _DELETE),
        "update_without_where": partial(unbounded, _UPDATE),
    }
)
