"""The test suite. How an operator is tested:

1. ``reference/<op>.py``: the formula and its gradients in NumPy, for float64;
2. ``cases/<op>.py``: named shapes and parameters, shared with the benchmarks;
3. ``catalog.py``: one line that joins them under the operator's name.

Then ``test_references.py`` holds the reference to finite differences, ``parity/`` to PyTorch, and
``ops/test_functional.py`` holds the operator itself to the bar of ``harness.py``. Kernels below
the Tensors go through the same harness as a pair of functions of arrays.
"""
