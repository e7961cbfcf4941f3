"""What kind of data an exchange holds, by what its policies found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

Sensitivity = Literal["public", "internal", "confidential", "restricted"]
LEVELS: Mapping[str, int] = MappingProxyType(
    {"public": 0, "internal": 1, "confidential": 2, "restricted": 3}
)
DataClass = Literal["pii", "phi", "pci", "secret", "term", "internal", "confidential", "restricted"]

# Names of findings (policies' own words) and the class that each puts the exchange in.
_CLASSES: Mapping[str, DataClass] = MappingProxyType(
    {
        "pii.detected": "pii",
        "secrets.detected": "secret",
        "dlp.term_matched": "term",
        "dlp.pattern_matched": "term",
        "medical_record": "phi",
        "health_insurance": "phi",
        "us_npi": "phi",
        "credit_card": "pci",
        "card_cvv": "pci",
        "card_expiry": "pci",
        "card_track": "pci",
        "cardholder_name": "pci",
        "internal_only": "internal",
        "do_not_distribute": "internal",
        "proprietary": "internal",
        "need_to_know": "internal",
        "confidential": "confidential",
        "strictly_confidential": "confidential",
        "attorney_client": "confidential",
        "draft_privileged": "confidential",
        "top_secret": "restricted",
        "secret_marking": "restricted",
        "classification_field": "confidential",
        "restricted_marking": "restricted",
    }
)
_SENSITIVITY: Mapping[DataClass, Sensitivity] = MappingProxyType(
    {
        "term": "confidential",
        "pii": "confidential",
        "pci": "confidential",
        "phi": "restricted",
        "secret": "restricted",
        "internal": "internal",
        "confidential": "confidential",
        "restricted": "restricted",
    }
)
CLASSES: tuple[DataClass, ...] = tuple(_SENSITIVITY)


def data_classes(found: Iterable[str]) -> frozenset[DataClass]:
    """The classes of what was found.

    Args:
        found: reason codes and names of findings, as ``Facts.found`` has them.
    """
    return frozenset(_CLASSES[name] for name in found if name in _CLASSES)


def sensitivity(found: Iterable[str]) -> Sensitivity:
    """The highest sensitivity among what was found; ``public`` for nothing."""
    levels = [_SENSITIVITY[one] for one in data_classes(found)]
    return max(levels, key=LEVELS.__getitem__, default="public")
