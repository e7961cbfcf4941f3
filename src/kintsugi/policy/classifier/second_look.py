"""A second look at what a tool returned: whether it asks for something that does not belong there.

A linear model over what ``requests.py`` reads off every request, the words of the request, and what
the first look made of the request and of the whole text. Its weights have names and stand in
``second_look.json``, made by ``training/second_look.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from kintsugi.policy.classifier.model import Classifier, Score, Scores
from kintsugi.policy.classifier.requests import Request, requests

_WORD = re.compile(r"[a-z']+|[0-9@/$]")
# How much all words of a request weigh together, beside one feature that is there or not.
_WORDS_WEIGHT = 2.0
_LOGIT_MAX = 8.0
# Of so many requests, those that stand out most, the first look is asked alone: it costs more than
# everything else about them.
_ASKED_MAX = 6
_SCALE = 4.0


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds.

    Attributes:
        version: raised with every training.
        bias: in logits, so that one half is where a request counts as planted.
        doubt: logits that the first look's score for planted instructions loses, now that
            requests are counted apart.
        weights: by feature; of words, ``word:`` and the word.
    """

    version: int
    bias: float
    doubt: float
    weights: dict[str, float]


class Planted(msgspec.Struct, frozen=True):
    """The request that belongs least where it stands.

    Attributes:
        probability: 0 to 1, calibrated on sources that training had not seen.
        start, end: its characters.
    """

    probability: float
    start: int
    end: int


class SecondLook:
    """The trained weights, ready to judge."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def doubted(self, scores: Scores) -> Scores:
        """The scores of the first look with less trust in what the second one judges better."""
        logit = _logit(scores.indirect) - self.weights.doubt
        return scores._replace(
            indirect=scores.indirect._replace(probability=1.0 / (1.0 + math.exp(-logit)))
        )

    def judge(self, text: str, scores: Scores, first: Classifier) -> Planted | None:
        """The worst request of a tool's result; None where it asks for nothing.

        Args:
            scores: what the first look made of the whole text.
        """
        standing = [(self._weigh(_seen(text, one, scores)), one) for one in requests(text)]
        standing.sort(key=lambda one: -one[0])
        worst: tuple[float, Request] | None = None
        for logit, request in standing[:_ASKED_MAX]:
            together = logit + self._weigh(_learnt(text, request, first))
            if worst is None or together > worst[0]:
                worst = together, request
        if worst is None:
            return None
        logit = max(min(worst[0] + self.weights.bias, 30.0), -30.0)
        return Planted(1.0 / (1.0 + math.exp(-logit)), worst[1].start, worst[1].end)

    def _weigh(self, features: Mapping[str, float]) -> float:
        named = self.weights.weights
        return sum([named.get(name, 0.0) * value for name, value in features.items()])


def described(text: str, request: Request, scores: Scores, first: Classifier) -> dict[str, float]:
    """Everything that is known of a request; what training and judging weigh."""
    return _seen(text, request, scores) | _learnt(text, request, first)


def _seen(text: str, request: Request, scores: Scores) -> dict[str, float]:
    """What stands in the text."""
    features = {
        **request.features,
        "doc_direct": _logit(scores.direct) / _SCALE,
        "doc_jailbreak": _logit(scores.jailbreak) / _SCALE,
        "doc_indirect": _logit(scores.indirect) / _SCALE,
    }
    found = set(_WORD.findall(text[request.start : request.end].lower()))
    share = _WORDS_WEIGHT / math.sqrt(max(len(found), 1))
    features.update((f"word:{word}", share) for word in found)
    return features


def _learnt(text: str, request: Request, first: Classifier) -> dict[str, float]:
    """What the first look makes of the request alone."""
    own = first.score(text[request.start : request.end], "tool")
    return {
        "learnt_direct": _logit(own.direct) / _SCALE,
        "learnt_indirect": _logit(own.indirect) / _SCALE,
    }


def _logit(score: Score) -> float:
    sure = min(max(score.probability, 1e-9), 1 - 1e-9)
    return max(min(math.log(sure / (1 - sure)), _LOGIT_MAX), -_LOGIT_MAX)


def load(data: bytes) -> SecondLook:
    """A second look from its file.

    Raises:
        ValueError: not a file of this program.
    """
    try:
        return SecondLook(msgspec.json.decode(data, type=Weights))
    except msgspec.MsgspecError as error:
        raise ValueError(f"not the weights of a second look: {error}") from None


@cache
def trained() -> SecondLook:
    """The second look that comes with the program; read once."""
    return load(files(__package__).joinpath("second_look.json").read_bytes())
