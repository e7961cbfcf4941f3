"""What a witness does: sign a log's checkpoint only if it begins with what it signed before. Pure.

A log that shows different people different histories cannot show both to one witness.
"""

from __future__ import annotations

from collections.abc import Sequence

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, open_checkpoint
from kintsugi.ledger.merkle import verify_consistency
from kintsugi.ledger.note import VerifierKey


def check_next(
    note: str,
    known: Sequence[VerifierKey],
    told: Sequence[VerifierKey],
    *,
    seen: Checkpoint | None,
    proof: Sequence[bytes],
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """Check a newer checkpoint of a log against the last one that was seen.

    Args:
        known: keys of the log that are trusted; empty for a log that is seen for the first time,
            whose keys are then taken as told.
        told: keys that the log says it signs with. A new one is taken over when the note is signed
            by it and by one that is known.
        proof: consistency from ``seen`` to the note's checkpoint.

    Returns:
        The checkpoint, and the keys to know from now on.

    Raises:
        ProofInvalid: the signature does not hold, the log shrank, or it is not the same log any
            more.
    """
    checkpoint, signatures = open_checkpoint(
        note, known or told, origin=seen.origin if seen else ""
    )
    if any(key.name != checkpoint.origin for key in told):
        raise ProofInvalid(f"a key of another name cannot sign for {checkpoint.origin}")
    if seen is not None:
        try:
            verify_consistency(seen.size, checkpoint.size, proof, seen.root, checkpoint.root)
        except ProofInvalid as error:
            raise ProofInvalid(
                f"the log {checkpoint.origin} shows another history: {error}. "
                f"Seen before: size {seen.size}, root {seen.root.hex()}; "
                f"shown now: size {checkpoint.size}, root {checkpoint.root.hex()}"
            ) from None
    if known and told:
        _, by_told = open_checkpoint(note, told)
        signatures = (*signatures, *by_told)
    keys = {str(signature.key): signature.key for signature in signatures}
    return checkpoint, tuple(keys.values())
