"""Plain NumPy references for every operator: forward and backward, formulas written out.

Conventions, the same in every module:

* ``<op>_forward`` takes the arguments of the function of the same name in ``torch.nn.functional``
  (arrays, ``None`` and plain numbers) and returns an array or a tuple of arrays.
* ``<op>_backward(dy, ...)`` takes the gradient of the (first) output, then the same arguments, and
  returns a tuple with one gradient per array argument, ``None`` where there is none (trailing
  ones may be left out).
* Nothing is cast: float64 in, float64 out. Fed with float32, the same code is the naive float32
  formula that kernels are compared with.
* Everything is checked against PyTorch in ``tests/parity/test_references_vs_torch.py`` and against
  finite differences in ``tests/test_references.py``.
"""
