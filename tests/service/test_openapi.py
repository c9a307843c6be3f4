"""What `/openapi.json` says is what the service does: schemathesis asks it whatever the document allows, and does not."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis.generation import GenerationMode

from pipeline.schema import COLUMNS
from tests.service.conftest import running


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    with running(tmp_path_factory.mktemp("documented") / "store") as service:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(
    ("path", "method"), [("/flows", "POST"), ("/flows", "GET"), ("/healthz", "GET"), ("/metrics", "GET")]
)
def test_every_answer_is_one_that_the_document_names(document, path, method, mode):
    """As it would be sent by who has read the document, and by who has not."""
    operation = document[path][method]

    @given(operation.as_strategy(mode))
    @settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
    def asks(case):
        assume(not mode.is_positive or not is_refused_for_what_no_schema_can_say(case))
        answer = case.call()
        assume(answer.status_code != 422)  # hypothesis likes to send the same key with other records
        case.validate_response(answer)

    if mode.is_positive or path == "/flows":  # to the others, nothing can be said that is wrong
        asks()


def is_refused_for_what_no_schema_can_say(case):
    """To JSON Schema 5.0 is an integer, and a parameter knows nothing of another."""
    if isinstance(case.body, list):
        return any(isinstance(value, float) for flow in case.body for value in flow.values())
    return bool(case.query) and int(case.query.get("until", 2**63)) <= int(case.query["hour"])


def test_methods_that_it_does_not_name_are_refused(document):
    for path in ("/flows", "/healthz", "/metrics"):
        operation = document[path]["GET"]
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"):
            case = operation.Case(method=method)
            assert case.call().status_code == 405


def test_the_record_is_the_schemas(shared):
    document = shared.ask("GET", "/openapi.json").json
    flow = document["components"]["schemas"]["Flow"]
    assert set(flow["properties"]) == set(flow["required"]) == set(COLUMNS)
    assert flow["properties"]["bytes_tx"]["minimum"] == 1
    assert flow["properties"]["hour"] | {"description": ""} == {
        "type": "integer", "minimum": 1, "maximum": 2**31 - 1, "description": "",
    }  # fmt: skip
    assert set(document["paths"]) == {"/", "/flows", "/healthz", "/metrics"}


def test_it_says_what_this_service_was_told(tmp_path):
    with running(tmp_path / "store", zero_bytes="accept", token="s") as service:
        document = service.ask("GET", "/openapi.json").json
    assert document["components"]["schemas"]["Flow"]["properties"]["bytes_tx"]["minimum"] == 0
    assert document["paths"]["/flows"]["post"]["security"] == [{"bearer": []}]
    assert "401" in document["paths"]["/metrics"]["get"]["responses"]
    assert json.dumps(document)
