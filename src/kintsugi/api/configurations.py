"""``/v1/configurations``: versions that never change, each one linted before it exists."""

from __future__ import annotations

import difflib
from typing import Annotated

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, whole
from kintsugi.api.bound_cases import PublishGuard
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun, IfMatch, etag, expected_version
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import ConfigurationInvalid, InvalidInput, NotFound, VersionConflict
from kintsugi.model.config import Diagnostic
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.tokens import Token
from kintsugi.policy.lint import lint

routes = Routes("configurations")

CONTENT_CHARS_MAX = 1_000_000
# JSON may write one character as twelve bytes.
CONTENT_BYTES_MAX = 16 * 1024 * 1024

ConfigId = Annotated[
    str, Path(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="pack.id")
]
VersionNumber = Annotated[int, Path(ge=1, lt=2**31)]


class Change(BaseModel):
    """A configuration to become the newest version."""

    model_config = ConfigDict(extra="forbid")

    content: Annotated[str, Field(max_length=CONTENT_CHARS_MAX, description="The YAML text.")]
    note: Annotated[str, Field(max_length=2000, description="Why.")] = ""
    author: Annotated[
        str, Field(max_length=200, description="Who; the token's name where left out.")
    ] = ""


class Rollback(BaseModel):
    """A return to an earlier version; the content becomes a new version."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=1, lt=2**31)]
    note: Annotated[str, Field(max_length=2000)] = ""
    author: Annotated[str, Field(max_length=200)] = ""


class DiffQuery(BaseModel):
    """Two versions."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[int, Field(alias="from", ge=1, lt=2**31)]
    to: Annotated[int, Field(ge=1, lt=2**31)]


class Published(msgspec.Struct, frozen=True):
    """What a change did, or would do.

    Attributes:
        created: False where the content is the newest version's already, or in a dry run.
        diagnostics: the warnings that the content has.
        diff: unified, from the newest version before; empty when nothing changes.
    """

    id: str
    version: int
    content: str
    revision: str
    author: str
    note: str
    created: bool
    dry_run: bool
    diagnostics: tuple[Diagnostic, ...]
    diff: str


class VersionDiff(msgspec.Struct, frozen=True, rename={"from_version": "from", "to_version": "to"}):
    """What changed between two versions, as a unified diff."""

    id: str
    from_version: int
    to_version: int
    diff: str


@routes.add(
    "GET", "/v1/configurations", Scope.CONFIGURATIONS_READ, answer=Page[ConfigurationVersion]
)
def list_configurations(control: Ctl) -> Response:
    """The newest version of every configuration."""
    return whole(control.stores.configurations.list())


@routes.add(
    "GET",
    "/v1/configurations/{config_id}",
    Scope.CONFIGURATIONS_READ,
    answer=One[ConfigurationVersion],
)
def show_configuration(control: Ctl, config_id: ConfigId) -> Response:
    """The newest version. Send its ETag as If-Match with a change to it."""
    newest = control.stores.configurations.get(config_id)
    return one(newest, headers={"etag": etag(newest.version)})


@routes.add(
    "GET",
    "/v1/configurations/{config_id}/versions",
    Scope.CONFIGURATIONS_READ,
    answer=Page[ConfigurationVersion],
)
def list_configuration_versions(control: Ctl, config_id: ConfigId) -> Response:
    """Every version, newest first."""
    versions = control.stores.configurations.versions(config_id)
    if not versions:
        raise NotFound(f'there is no configuration "{config_id}"')
    return whole(versions)


@routes.add(
    "GET",
    "/v1/configurations/{config_id}/versions/{version}",
    Scope.CONFIGURATIONS_READ,
    answer=One[ConfigurationVersion],
)
def show_configuration_version(
    control: Ctl, config_id: ConfigId, version: VersionNumber
) -> Response:
    """One version; ``data.content`` is its text."""
    return one(control.stores.configurations.get(config_id, version))


@routes.add(
    "GET",
    "/v1/configurations/{config_id}/diff",
    Scope.CONFIGURATIONS_READ,
    answer=One[VersionDiff],
    parameters=True,
)
def diff_configuration(
    control: Ctl, config_id: ConfigId, query: Annotated[DiffQuery, Query()]
) -> Response:
    """What changed from one version to another."""
    store = control.stores.configurations
    before, after = store.get(config_id, query.from_), store.get(config_id, query.to)
    text = unified_diff(
        before.content,
        after.content,
        f"{config_id}@{before.version}",
        f"{config_id}@{after.version}",
    )
    return one(VersionDiff(config_id, before.version, after.version, text))


@routes.add(
    "PUT",
    "/v1/configurations/{config_id}",
    Scope.CONFIGURATIONS_WRITE,
    answer=One[Published],
    parameters=True,
    body_bytes_max=CONTENT_BYTES_MAX,
)
def put_configuration(
    control: Ctl,
    caller: Caller,
    config_id: ConfigId,
    change: Change,
    query: DryRun,
    if_match: IfMatch = None,
) -> Response:
    """Make this the newest version, if it lints; gateways that follow it load it at once."""
    return _publish(control, caller, config_id, change, if_match, dry_run=query.dry_run)


@routes.add(
    "POST",
    "/v1/configurations/{config_id}/rollback",
    Scope.CONFIGURATIONS_WRITE,
    answer=One[Published],
    parameters=True,
)
def roll_back_configuration(
    control: Ctl,
    caller: Caller,
    config_id: ConfigId,
    rollback: Rollback,
    query: DryRun,
    if_match: IfMatch = None,
) -> Response:
    """Make the content of an earlier version the newest one."""
    target = control.stores.configurations.get(config_id, rollback.version)
    change = Change(
        content=target.content,
        note=rollback.note or f"roll back to version {target.version}",
        author=rollback.author,
    )
    return _publish(control, caller, config_id, change, if_match, dry_run=query.dry_run)


def unified_diff(before: str, after: str, before_name: str, after_name: str) -> str:
    """The usual diff; empty when the texts are equal."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), before_name, after_name, lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)


def _publish(
    control: Control,
    caller: Token,
    config_id: str,
    change: Change,
    if_match: str | None,
    *,
    dry_run: bool,
) -> Response:
    expected = expected_version(if_match)
    guard = PublishGuard(control, config_id, change.content, by=actor_of(caller))
    diagnostics, revision, pack_version = _checked(change.content, config_id)
    versions = control.stores.configurations.versions(config_id)
    newest = versions[0] if versions else None
    current = newest.version if newest else 0
    unchanged = newest is not None and newest.content == change.content
    if not unchanged:
        guard.check(dry_run=dry_run)
    if dry_run:
        if expected not in {None, current}:
            raise VersionConflict
        if newest is not None and newest.content == change.content:
            saved = newest
        else:
            saved = ConfigurationVersion(
                id=config_id,
                version=current + 1,
                content=change.content,
                revision=revision,
                author=change.author or caller.name,
                note=change.note,
                created_at=control.clock(),
                pack_version=pack_version,
            )
    else:
        saved = control.stores.configurations.put(
            config_id=config_id,
            content=change.content,
            revision=revision,
            author=change.author or caller.name,
            note=change.note,
            pack_version=pack_version,
            now=control.clock(),
            expected_version=expected,
            guard=guard.check_again,
        )
    before = newest.content if newest else ""
    published = Published(
        id=saved.id,
        version=saved.version,
        content=saved.content,
        revision=saved.revision,
        author=saved.author,
        note=saved.note,
        created=not dry_run and saved.version != current,
        dry_run=dry_run,
        diagnostics=diagnostics,
        diff=unified_diff(
            before,
            saved.content,
            f"{config_id}@{current}",
            f"{config_id}@{saved.version}",
        ),
    )
    return one(published, headers={"etag": etag(saved.version)})


def _checked(content: str, config_id: str) -> tuple[tuple[Diagnostic, ...], str, str]:
    """Diagnostics (warnings only), revision and pack version.

    Raises:
        ConfigurationInvalid: with every diagnostic, when there are errors.
    """
    report = lint(content, file=f"{config_id}.yaml")
    if not report.valid:
        raise ConfigurationInvalid(
            "The configuration has errors; nothing was changed.", report.diagnostics
        )
    if report.pack is None or not report.revision:
        raise InvalidInput("body.content: holds only tests; send a whole configuration")
    return report.diagnostics, report.revision, report.pack.version
