"""Real data in tests: skipped where none can be fetched, but not in the gate."""

import os

import pytest

from fastnn.datasets import FetchError


def or_skip(dataset, **arguments):
    """``dataset(**arguments)``. Without data the test is skipped; with FASTNN_REQUIRE_DATA=1 it
    fails. A wrong checksum or a parsing error fails always."""
    try:
        return dataset(**arguments)
    except FetchError as error:
        if os.environ.get("FASTNN_REQUIRE_DATA", "0") not in ("", "0"):
            raise
        pytest.skip(f"no data: {error}")
