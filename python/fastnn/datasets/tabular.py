"""Small classic tables, read out of the scikit-learn wheel (which is not installed)."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.datasets._base import ArrayDataset, every_fifth
from fastnn.datasets._cache import Arrays, cached_arrays
from fastnn.datasets._csv import read_uint8_csv
from fastnn.datasets._fetch import Wheel, opened_wheel

# One wheel for every platform: only its data files are read.
_SCIKIT_LEARN = Wheel(
    "scikit-learn",
    "1.9.1",
    "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    ("--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--implementation=cp",
     "--abi=cp311"),
)  # fmt: skip
_FOLDER = "sklearn/datasets/data/"
_TABLES = {"iris": "iris.csv", "wine": "wine_data.csv", "breast_cancer": "breast_cancer.csv"}


def _fetch() -> Arrays:
    """Read all four sets at once: they share one download."""
    with opened_wheel(_SCIKIT_LEARN) as archive:
        with gzip.open(io.BytesIO(archive.read(_FOLDER + "digits.csv.gz"))) as file:
            digits = read_uint8_csv(file, 65)
        arrays = {"digits_data": digits[:, :-1].reshape(-1, 8, 8), "digits_labels": digits[:, -1]}
        for name, member in _TABLES.items():
            text = archive.read(_FOLDER + member).decode("ascii").splitlines()
            table = np.loadtxt(text[1:], delimiter=",", ndmin=2)
            arrays[f"{name}_data"] = table[:, :-1].astype(np.float32)
            arrays[f"{name}_labels"] = table[:, -1].astype(np.uint8)
    return arrays


class _SmallSet(ArrayDataset):
    """A set without a split of its own; see the classes below."""

    feature_names: Sequence[str] = ()
    _name = ""

    def __init__(
        self,
        train: bool | None = None,
        transform: Callable[[np.ndarray], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        keys = [f"{self._name}_data", f"{self._name}_labels"]
        data, labels = cached_arrays("scikit-learn", keys, _fetch).values()
        part = every_fifth(len(labels), train)
        super().__init__(data[part], labels[part].astype(np.int64), transform, target_transform)


class Digits(_SmallSet):
    """1,797 handwritten digits of 8 × 8 pixels with values 0 … 16.

    Fetched (9.3 MB, the package "scikit-learn" 1.9.1) the first time, together with :class:`Iris`,
    :class:`Wine` and :class:`BreastCancer`, and cached. Items are ``(image, label)``: a uint8 array
    (8, 8) and an int.

    Args:
        train: None: all samples; True: four of every five; False: every fifth one.
        transform: applied to each sample's array.
        target_transform: applied to each label.

    Raises:
        FetchError: the package cannot be fetched.

    Data: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, test
    part, CC BY 4.0; the package is under the BSD 3-clause licence.
    """

    classes = tuple("0123456789")
    _name = "digits"


class Iris(_SmallSet):
    """150 iris flowers, 4 measurements each, 3 species of 50.

    Items are ``(features, label)``: a float32 array (4,) and an int. Source, arguments and errors:
    see :class:`Digits`.

    Data: R. A. Fisher, "The use of multiple measurements in taxonomic problems", 1936; UCI
    repository, CC BY 4.0; the package is under the BSD 3-clause licence.
    """

    classes = ("setosa", "versicolor", "virginica")
    feature_names = (
        "sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)",
    )  # fmt: skip
    _name = "iris"


class Wine(_SmallSet):
    """178 wines of 3 cultivars, 13 chemical measurements each.

    Items are ``(features, label)``: a float32 array (13,) and an int. Source, arguments and errors:
    see :class:`Digits`.

    Data: S. Aeberhard, M. Forina, "Wine", UCI repository, CC BY 4.0; the package is under the BSD
    3-clause licence.
    """

    classes = ("class_0", "class_1", "class_2")
    feature_names = (
        "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols",
        "flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue",
        "od280/od315_of_diluted_wines", "proline",
    )  # fmt: skip
    _name = "wine"


class BreastCancer(_SmallSet):
    """569 tumours, 30 measurements of cell nuclei each: 212 malignant (0), 357 benign (1).

    Items are ``(features, label)``: a float32 array (30,) and an int. Source, arguments and errors:
    see :class:`Digits`.

    Data: W. Wolberg, O. Mangasarian, N. Street, W. Street, "Breast Cancer Wisconsin (Diagnostic)",
    UCI repository, CC BY 4.0; the package is under the BSD 3-clause licence.
    """

    classes = ("malignant", "benign")
    feature_names = tuple(
        pattern.format(quantity)
        for pattern in ("mean {}", "{} error", "worst {}")
        for quantity in (
            "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
            "concave points", "symmetry", "fractal dimension",
        )
    )  # fmt: skip
    _name = "breast_cancer"
