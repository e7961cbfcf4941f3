"""The OpenAPI document, and the application held against it by Schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from kintsugi.api.app import build_api
from kintsugi.api.routing import GuardedRoute
from kintsugi.store.memory import memory_stores
from tests.control_plane import (
    CONFIGURATION,
    NOON,
    Clock,
    bearer,
    blocked_event,
    control_plane,
    make_event,
    make_report,
    make_token,
    served,
)

# Beyond what a schema can say: that a cursor is one that was given out, that a configuration
# lints, that a time agrees with an id. And every call here carries a token, so the check for
# ignored authentication would call itself; tests/api/test_permissions.py has that matrix.
NOT_HELD = [positive_data_acceptance, ignored_auth]

# Streams have no end; tests/api/test_api_streams.py has them.
STREAMS = ["/v1/events/tail", "/v1/gateways/{gateway_id}/follow"]


@schemathesis.serializer("message/rfc822")
def as_mail(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """An application that has something of everything."""
    clock = Clock()
    stores = memory_stores(now=clock)
    stores.events.append([make_event(1), blocked_event(2)])
    stores.configurations.put(
        config_id="support-prod",
        content=CONFIGURATION,
        revision="sha256:0",
        author="ana",
        note="",
        pack_version="1.4.0",
        now=NOON,
    )
    stores.gateways.put(make_report(now=NOON), now=NOON)
    folder: Path = tmp_path_factory.mktemp("state")
    made = control_plane(stores, folder, clock)
    made.state.test_token = make_token(stores)
    return made


@pytest.fixture(scope="module")
def api_schema(app: FastAPI) -> Iterator[Any]:
    with served(app) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


def operations() -> Iterator[tuple[GenerationMode, str, str]]:
    """Every operation with what its document allows, and with what it does not."""
    document = build_api(memory_stores(), state_dir=Path("unused")).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path in STREAMS:
                continue
            yield GenerationMode.POSITIVE, method, path
            if operation.get("parameters") or operation.get("requestBody"):
                yield GenerationMode.NEGATIVE, method, path


@pytest.mark.parametrize(("mode", "method", "path"), list(operations()))
def test_the_application_does_what_its_document_says(
    mode: GenerationMode, method: str, path: str, api_schema: Any, app: FastAPI
) -> None:
    headers = bearer(app.state.test_token)

    @settings(
        max_examples=6,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api_schema[path][method].as_strategy(generation_mode=mode))
    def hold(case: Any) -> None:
        header = case.meta.components.get(ParameterLocation.HEADER)
        # HTTP takes the blanks from around a header's value, and the token replaces another one:
        # what was wrong in the document's terms may be right when it arrives.
        mended = header is not None and header.mode.is_negative
        not_held = [*NOT_HELD, negative_data_rejection] if mended else NOT_HELD
        case.call_and_validate(headers=headers, excluded_checks=not_held)

    hold()


def test_the_document_is_openapi_3_1_with_schemas_that_are_json_schema(app: FastAPI) -> None:
    document = app.openapi()
    assert document["openapi"].startswith("3.1")
    for name, part in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(part)
        assert name.replace("_", "").isalnum()


def test_every_documented_route_says_which_permission_it_needs(app: FastAPI) -> None:
    document = app.openapi()
    documented = {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    declared = {
        (next(iter(route.methods or ())), route.path.replace(":path", ""))
        for route in app.routes
        if isinstance(route, GuardedRoute) and route.include_in_schema
    }
    assert set(documented) == declared
    for operation in documented.values():
        assert operation["x-kt-permission"]
        assert operation["description"]
        problem = operation["responses"]["default"]["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_post_takes_an_idempotency_key(app: FastAPI) -> None:
    """But those of nobody in particular: a key is one caller's."""
    document = app.openapi()
    for path, operations in document["paths"].items():
        if "post" in operations and operations["post"]["x-kt-permission"] != "public":
            names = {parameter["name"] for parameter in operations["post"]["parameters"]}
            assert "Idempotency-Key" in names, path
