"""The format that docs/extending.md shows is one: it stands the suite of all formats."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import formats
from tests.conformance.formats import Case, FormatClaims
from tests.conformance.test_formats import CASES, HOUR

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
MODULE, ENTRY = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(SAMPLE,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def known():
    module = ModuleType("pipeline.formats.acme")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        exec(compile(MODULE, "docs/extending.md", "exec"), vars(module))
        patch.setattr(formats, "FORMATS", (*formats.FORMATS, *module.FORMATS))
        yield module.FORMATS[0]


@pytest.fixture(scope="module")
def case(known):
    return eval(ENTRY, {"Case": Case, "HOUR": HOUR, "sample": SAMPLE.encode()})


@pytest.fixture(scope="module")
def cases(case):
    return CASES | {"Acme": case}


class TestExample(FormatClaims):
    test_a_page_says_what_it_is_and_what_can_be_set = None  # nobody else has heard of Acme
