"""Values take only operations of numpy whose result no processor may choose."""

from __future__ import annotations

import ast
from typing import Final, TypeGuard

import pytest

from tests.test_architecture import ROOT

MODULES: Final = sorted((ROOT / "protocol" / "preprocessing").glob("*.py"))
# Exact, or rounded as IEEE 754 prescribes, one value at a time.
FIXED: Final = {
    "absolute", "abs", "arange", "array", "asarray", "ascontiguousarray", "clip", "diff", "dtype", "empty_like",
    "errstate", "floor", "float16", "float32", "float64", "frexp", "full", "iinfo", "int16", "int32", "int64",
    "isfinite", "maximum", "minimum", "ndarray", "newaxis", "nextafter", "ones", "repeat", "rint", "searchsorted",
    "sqrt", "stack", "typing", "uint8", "unique", "where", "zeros",
}  # fmt: skip
# Sums of whole numbers only: their order does not matter.
FIXED_IN_INTEGERS: Final = {("pictures.py", "cumsum")}
METHODS_REFUSED: Final = {"sum", "mean", "dot", "std", "var", "prod", "cumsum", "trace"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_uses_an_operation_that_differs_between_processors(path: object) -> None:
    assert isinstance(path, type(MODULES[0]))
    tree = ast.parse(path.read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
    }
    assert {name for name in used - FIXED if (path.name, name) not in FIXED_IN_INTEGERS} == set()
    called = {
        node.func.attr for node in ast.walk(tree) if _is_method_call(node) and isinstance(node.func, ast.Attribute)
    }
    assert called & METHODS_REFUSED == set()
    assert not any(isinstance(node, ast.MatMult | ast.Pow) for node in ast.walk(tree))


def _is_method_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id in {"np", "math"})
    )
