"""Sends a service requests that its OpenAPI document allows, and some that it does not.

Import this where it is used: Schemathesis takes most of a second.
"""

import os
from collections.abc import Callable

from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Flaky, Unsatisfiable
from schemathesis import BaseSchema, Case, GenerationMode, openapi
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

#: Requests of each kind to each operation; more by hand.
EXAMPLES = int(os.environ.get("HEADSTART_TEST_EXAMPLES", "10"))


def document_at(url: str) -> BaseSchema:
    return openapi.from_url(url)


def document_of(app: FastAPI) -> BaseSchema:
    return openapi.from_asgi("/openapi.json", app)


def failures(load: Callable[[], BaseSchema]) -> str:
    """Return what was wrong with the answers, for each operation and kind of request."""
    found = []
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        schema = load()
        if mode is GenerationMode.NEGATIVE:
            _leave_out_forms(schema)
        for result in schema.get_all_operations():
            operation = result.ok()
            try:
                _ask(operation.as_strategy(generation_mode=mode))
            except Unsatisfiable:
                # An operation without parameters can't be asked wrongly.
                assert mode is GenerationMode.NEGATIVE, operation.label
            except (Failure, FailureGroup, Flaky, ExceptionGroup) as error:
                found.append(f"{operation.label}, {mode.value}: {_words(error)}")
    return "\n\n".join(found)


def _leave_out_forms(schema: BaseSchema) -> None:
    """Leave the JSON only, for Schemathesis can't spoil forms with files in them."""
    for operations in schema.raw_schema["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                content.pop("multipart/form-data", None)


def _ask(cases: object) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def ask(case: Case) -> None:
        # A schema can't say that a picture is one, or which datasets there are.
        case.call_and_validate(timeout=30, excluded_checks=[positive_data_acceptance])

    ask()


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_words(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"
