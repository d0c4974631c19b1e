"""Error classes. They satisfy PyTorch's convention and NumPy's at once."""


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit together."""


class DTypeError(TypeError, RuntimeError):
    """An element type (or a Python type) that the op does not take."""
