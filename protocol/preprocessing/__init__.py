"""Preprocessing, computed to the same bits on every machine. numpy only.

The values take only operations whose result the IEEE 754 standard or integer arithmetic
fixes, one array at a time and in a stated order: + - * / sqrt, rounding, comparison,
gathering, casting. Sums over an axis, dot products, numpy's FFT, exp, log, sin and cos
differ in the last bit between processors, and are not used; tables of such functions
come from `decimal`, which is exact by its specification.
tests/unit/protocol/preprocessing/test_operations.py holds the modules to this list.
"""
