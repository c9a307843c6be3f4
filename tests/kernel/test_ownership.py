"""What holds the kernel's memory is one: a copy of it would free the memory twice, and end the interpreter."""

import copy
import importlib
import inspect
import pickle
import pkgutil
import re

import pytest

import pipeline.kernel
from pipeline.kernel.columns import DelimitedLines, JsonColumn, JsonLines, LineParser
from pipeline.kernel.texts import Texts
from pipeline.kernel.totals import SortedTotals, Totals, TotalsByHour
from pipeline.schema import DICTIONARY_TEXT
from tests.records import flows_of


def totals():
    summed = Totals()
    summed.add(flows_of([(1, "a", "b", "v", 1, 2)]))
    return summed


MAKERS = {
    Texts: Texts,
    Totals: totals,
    TotalsByHour: lambda: TotalsByHour(totals()),
    SortedTotals: lambda: SortedTotals(totals()),
    LineParser: lambda: LineParser([DICTIONARY_TEXT], nullable=False, foreign=b"", shortest=2),
    DelimitedLines: lambda: DelimitedLines([DICTIONARY_TEXT], b",", quoted=True, null=None),
    JsonLines: lambda: JsonLines([JsonColumn(DICTIONARY_TEXT, [["src_app"]])]),
}


def test_every_class_of_the_kernel_is_tried_that_calls_it():
    names = {found.name for found in pkgutil.iter_modules(pipeline.kernel.__path__)} - {"_kernel", "_kernel_avx2"}  # the C
    modules = [importlib.import_module(f"pipeline.kernel.{name}") for name in sorted(names)]
    classes = {
        c for module in modules for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__
    }
    assert {c for c in classes if re.search(r"kernel\.\w+\(", inspect.getsource(c))} <= MAKERS.keys()


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=lambda duplicate: duplicate.__name__)
def test_it_can_neither_be_copied_nor_pickled(kind, duplicate):
    made = MAKERS[kind]()
    with pytest.raises(TypeError, match=f"{kind.__name__} holds memory of the kernel"):
        duplicate(made)


def test_nor_as_a_part_of_something_else():
    with pytest.raises(TypeError, match="holds memory of the kernel"):
        copy.deepcopy({"totals": [totals()]})
