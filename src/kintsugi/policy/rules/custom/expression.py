"""One CEL expression: checked when it is written, bounded when it runs.

Google's own CEL (cel-cpp, through ``cel-expr-python``) checks types and bounds nesting and the
number of loop steps. What is checked here beyond that keeps the time of an evaluation a small
multiple of the text, whatever the text: loops are at most two deep, a loop does not read a whole
text once for each element, and regular expressions stand in the expression itself, never in
what callers send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from kintsugi.policy.automata import Pattern, PatternInvalid, compile_pattern
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.rules.custom.variables import VARIABLES

if TYPE_CHECKING:
    from cel_expr_python import cel

EXPRESSION_CHARS_MAX = 4_096
LOOPS_DEEP_MAX = 2
_CREDENTIALS = frozenset(("authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"))
_LOOPS = frozenset(("all", "exists", "exists_one", "filter", "map"))

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|//[^\n]*)
    | (?P<string>[rRbB]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
                 |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<number>\d[\w.]*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class ExpressionInvalid(ValueError):
    """An expression that cannot be used; the message says where in it."""

    def __init__(self, message: str, *, help: str = "", suggestion: str = "") -> None:  # noqa: A002
        super().__init__(message)
        self.help = help
        self.suggestion = suggestion


class ExpressionFailed(Exception):
    """An expression that could not be evaluated on an exchange."""


class Token(NamedTuple):
    """One word of an expression.

    Attributes:
        kind: ``string``, ``name``, ``number`` or ``sign``.
        start: in characters.
    """

    kind: str
    text: str
    start: int


class Expression:
    """A compiled expression.

    Attributes:
        names: the variables that it speaks of.
        claim_names: the request headers that it asks for.
    """

    def __init__(self, source: str) -> None:
        """Raises:
        ExpressionInvalid: it does not compile, is not true or false, or could cost too much.
        """
        if not source.strip():
            raise ExpressionInvalid("is empty", help="write an expression, or remove the rule")
        if len(source) > EXPRESSION_CHARS_MAX:
            raise ExpressionInvalid(
                f"is longer than {EXPRESSION_CHARS_MAX} characters", help="split it into rules"
            )
        tokens = list(_tokens(source))
        self._compiled = _compile(source)
        self.names = tuple(dict.fromkeys(name for name, _ in _named(tokens)))
        self.claim_names = tuple(dict.fromkeys(_claims(tokens)))
        _check_claims(self.claim_names)
        _check_loops(source, tokens)
        _check_patterns(source, tokens)

    def holds(self, values: dict[str, Any]) -> bool:
        """Whether it is true of these values, which name each of ``names``.

        Raises:
            ExpressionFailed: a key is missing, types do not fit, or it takes too many steps.
        """
        try:
            found = self._compiled.eval(data=values).value()
        except RuntimeError as error:  # the only error that the library raises
            raise ExpressionFailed from error
        if found is True or found is False:
            return bool(found)
        raise ExpressionFailed  # the library gives some errors as values


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    """Every variable with its type. Imported when the first expression is: it takes 13 MB."""
    from cel_expr_python import cel

    text, anything = cel.Type.STRING, cel.Type.DYN
    types = {
        "string": text,
        "int": cel.Type.INT,
        "timestamp": cel.Type.TIMESTAMP,
        "list(string)": cel.Type.List(text),
        "map(string, string)": cel.Type.Map(text, text),
        "list(map(string, string))": cel.Type.List(cel.Type.Map(text, text)),
        "list(map(string, dyn))": cel.Type.List(cel.Type.Map(text, anything)),
    }
    return cel.NewEnv(variables={one.name: types[one.type] for one in VARIABLES.values()})


def _compile(source: str) -> cel.Expression:
    try:
        compiled = _environment().compile(source)
    except RuntimeError as error:
        raise _explained(str(error)) from None
    given = compiled.return_type().name()
    if given not in ("BOOL", "DYN"):
        raise ExpressionInvalid(f"gives {given.lower()}", help="it must give true or false")
    return compiled


_REPORT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")


def _explained(report: str) -> ExpressionInvalid:
    """The library's report in one line, with a place and what was probably meant."""
    found = _REPORT.search(report)
    if found is None:
        return ExpressionInvalid(re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", report.strip()))
    line, column, message = found.groups()
    unknown = _UNDECLARED.search(message)
    place = f"column {column}" if line == "1" else f"line {line}, column {column}"
    if unknown is None:
        return ExpressionInvalid(f"{place}: {message}")
    return ExpressionInvalid(
        f'{place}: unknown name "{unknown[1]}"',
        help=f"names: {', '.join(VARIABLES)}",
        suggestion=nearest(unknown[1], VARIABLES),
    )


def _tokens(source: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(source):
        kind = found.lastgroup or ""
        if kind != "blank":
            yield Token(kind, found[0], found.start())


def _named(tokens: Sequence[Token]) -> Iterator[tuple[str, Token]]:
    """Variables in the order of their places. The longest name wins, as it does in CEL."""
    for at, token in enumerate(tokens):
        if token.kind != "name" or (at and tokens[at - 1].text == "."):
            continue
        dotted = token.text
        if at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at + 2].kind == "name":
            dotted = f"{token.text}.{tokens[at + 2].text}"
        for name in (dotted, token.text):
            if name in VARIABLES:
                yield name, token
                break


def _claims(tokens: Sequence[Token]) -> Iterator[str]:
    """``claims["x-role"]``, ``claims.role`` and ``"x-role" in claims``."""
    for at, token in enumerate(tokens):
        if token.text != "claims":
            continue
        before, after = tokens[max(at - 2, 0) : at], tokens[at + 1 : at + 3]
        if len(after) == 2 and after[0].text in (".", "["):
            yield after[1].text.strip("\"'")
        if len(before) == 2 and before[1].text == "in" and before[0].kind == "string":
            yield before[0].text.strip("\"'")


def _check_claims(names: Sequence[str]) -> None:
    for name in names:
        if name != name.lower():
            raise ExpressionInvalid(
                f'claims holds headers in lower case; "{name}" would never be there',
                help=f'write "{name.lower()}"',
            )
        if name in _CREDENTIALS:
            raise ExpressionInvalid(
                f'the header "{name}" is a credential, and claims are on record',
                help="compare identity.key_name",
            )


def _check_loops(source: str, tokens: Sequence[Token]) -> None:
    """Loops, by counting brackets: an expression that compiled has its brackets in order."""
    whole = {token.start: n for n, token in _named(tokens) if VARIABLES[n].whole_text}
    opened: list[bool] = []
    for at, token in enumerate(tokens):
        if token.kind == "sign" and token.text in "([{":
            loop = (
                at > 1
                and token.text == "("
                and tokens[at - 1].text in _LOOPS
                and tokens[at - 2].text == "."
            )
            opened.append(loop)
            if opened.count(True) > LOOPS_DEEP_MAX:
                raise ExpressionInvalid(
                    f"{_place(source, token)}: loops are more than {LOOPS_DEEP_MAX} deep",
                    help="use `in`, or split it into rules",
                )
        elif token.kind == "sign" and token.text in ")]}":
            opened.pop()
        elif token.start in whole and True in opened:
            raise ExpressionInvalid(
                f"{_place(source, token)}: {whole[token.start]} inside a loop would be read once "
                "for each element",
                help="compare it outside the loop, or use the element's own text",
            )


def _check_patterns(source: str, tokens: Sequence[Token]) -> None:
    for at, token in enumerate(tokens):
        if token.text != "matches" or token.kind != "name":
            continue
        following = tokens[at + 1 : at + 4]
        member = at > 0 and tokens[at - 1].text == "."
        literal = len(following) == 3 and following[1].kind == "string"
        if not (member and literal and following[2].text == ")"):
            raise ExpressionInvalid(
                f"{_place(source, token)}: a pattern must stand in the expression itself",
                help='write text.matches("...")',
            )
        pattern = _environment().compile(following[1].text).eval(data={}).value()
        try:
            compile_pattern(Pattern("pattern", str(pattern), ignore_case=False))
        except PatternInvalid as error:
            raise ExpressionInvalid(f"{_place(source, following[1])}: {error}") from error


def _place(source: str, token: Token) -> str:
    line = source.count("\n", 0, token.start) + 1
    column = token.start - source.rfind("\n", 0, token.start)
    return f"column {column}" if line == 1 else f"line {line}, column {column}"
