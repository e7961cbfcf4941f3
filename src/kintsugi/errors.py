"""The whole error tree on one page.

KintsugiError
├── ConfigurationInvalid      a configuration does not parse, lint or compile
├── NotFound                  no such thing
│   └── Expired               it went away at the end of its time
├── VersionConflict           somebody else changed it first
├── StateConflict             what was asked does not fit what it has become
│   ├── Blocked               several things stand in the way of it
│   └── NotStoredYet          an event is known, and not stored yet
├── IdempotencyMismatch       the same Idempotency-Key with another body
├── InvalidInput              a parameter or body that cannot be used
├── Unauthenticated           no valid token
├── Forbidden                 the token lacks a scope
├── TooManyAttempts           somebody tried to sign in too often
├── EvidenceUnavailable       the journal cannot make a record durable
├── ProofInvalid              evidence does not prove what it should
├── KeyUnavailable            a key that seals recorded content is not to be had
├── StoreUnavailable          the database cannot be reached
├── DatabaseUnusable          no PostgreSQL can be started here
├── ArchiveUnavailable        archived evidence cannot be reached
│   └── ArchiveDamaged        an archived file is not what was written
├── QueryRefused              a statement that `kt sql` does not run
├── ApiUnreachable            the control plane does not answer the command line
└── ApiRefused                the control plane answered with a problem
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kintsugi.model.blocker import Blocker
from kintsugi.model.config import Diagnostic


class KintsugiError(Exception):
    """Something Kintsugi can name. The message says what, where, and what to do next."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ConfigurationInvalid(KintsugiError):
    """The configuration has errors; the one in force stays.

    Attributes:
        diagnostics: everything that was found, errors and warnings, in order of place; empty
            when the trouble has no place in the text.
    """

    code = "configuration.invalid"

    def __init__(self, message: str = "", diagnostics: Sequence[Diagnostic] = ()) -> None:
        super().__init__(message or "The configuration has errors; the one in force stays.")
        self.diagnostics = tuple(diagnostics)


class NotFound(KintsugiError):
    """There is no such thing."""

    code = "not_found"


class Expired(NotFound):
    """It went away at the end of its time."""

    code = "retention.expired"


class VersionConflict(KintsugiError):
    """Someone else changed this first; read it again and retry."""

    code = "version_conflict"


class StateConflict(KintsugiError):
    """What was asked does not fit what this has become."""

    code = "state_conflict"


class Blocked(StateConflict):
    """Something stands in the way.

    Attributes:
        blockers: all of it, not only the first.
    """

    code = "blocked"

    def __init__(self, message: str, blockers: Sequence[Blocker]) -> None:
        super().__init__(message)
        self.blockers = tuple(blockers)


class NotStoredYet(StateConflict):
    """The event is not stored yet: its gateway has still to ship it."""

    code = "event.not_stored_yet"


class IdempotencyMismatch(KintsugiError):
    """This Idempotency-Key was used before with another request; use a new key."""

    code = "idempotency.mismatch"


class InvalidInput(KintsugiError):
    """A parameter or body cannot be used."""

    code = "input.invalid"


class Unauthenticated(KintsugiError):
    """No valid token was given; send Authorization: Bearer TOKEN."""

    code = "auth.unauthenticated"


class Forbidden(KintsugiError):
    """The token does not carry the scope that this needs."""

    code = "auth.forbidden"


class TooManyAttempts(KintsugiError):
    """Too many attempts failed; wait before the next one.

    Attributes:
        retry_after_seconds: how long.
    """

    code = "auth.too_many_attempts"

    def __init__(self, message: str = "", *, retry_after_seconds: int = 60) -> None:
        wait = f"Too many attempts to sign in failed; try again in {retry_after_seconds} seconds."
        super().__init__(message or wait)
        self.retry_after_seconds = retry_after_seconds


class EvidenceUnavailable(KintsugiError):
    """The journal cannot make a record durable, so nothing may be answered."""

    code = "evidence.unavailable"


class ProofInvalid(KintsugiError):
    """A proof, signature or digest does not hold."""

    code = "proof.invalid"


class KeyUnavailable(KintsugiError):
    """A key that seals recorded content is not to be had."""

    code = "key.unavailable"


class StoreUnavailable(KintsugiError):
    """The database cannot be reached; try again."""

    code = "store.unavailable"


class DatabaseUnusable(KintsugiError):
    """No PostgreSQL can be started here; set KT_DATABASE_URL to one that runs."""

    code = "store.unusable"


class ArchiveUnavailable(KintsugiError):
    """What this needs was archived, and the archive cannot be reached."""

    code = "archive.unavailable"


class ArchiveDamaged(ArchiveUnavailable):
    """What this needs was archived, and its file is not what was written."""

    code = "archive.damaged"


class QueryRefused(KintsugiError):
    """This statement cannot be run here."""

    code = "query.refused"


class ApiUnreachable(KintsugiError):
    """The control plane does not answer; is `kt up` running?"""

    code = "api.unreachable"


class ApiRefused(KintsugiError):
    """The control plane refused the request.

    Attributes:
        status: the HTTP status of the answer.
        problem_code: the stable code in its problem details, empty when it sent none.
    """

    code = "api.refused"

    def __init__(self, message: str = "", *, status: int = 0, problem_code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.problem_code = problem_code
