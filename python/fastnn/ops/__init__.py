"""The ops: one file a family, each op with its backward. Names and semantics are PyTorch's."""
