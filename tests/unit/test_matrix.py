"""Matrix expansion against an oracle written from GitHub's own words, another way."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcity_nb.decide import matrix

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from([1, 2, "x", "1", True])
ENTRY = st.dictionaries(st.sampled_from(["a", "b", "c", "extra", "more"]), VALUES, min_size=1, max_size=3)


def key(value: Any) -> tuple[str, Any]:
    return (type(value).__name__, value)


def oracle(given_matrix: dict[str, Any]) -> list[dict[str, Any]]:
    """Combinations as numbered rows; each include entry goes through GitHub's sentence word by word."""
    axes = [(name, values) for name, values in given_matrix.items() if name not in ("include", "exclude")]
    rows = []
    if axes:
        for indexes in itertools.product(*[range(len(values)) for _, values in axes]):
            rows.append({name: values[index] for index, (name, values) in zip(indexes, axes, strict=True)})
    for taken in given_matrix.get("exclude", []):
        rows = [row for row in rows if not {(k, key(v)) for k, v in taken.items()} <= {(k, key(v)) for k, v in row.items()}]
    extras: list[dict[str, Any]] = [{} for _ in rows]
    alone = []
    for entry in given_matrix.get("include", []):
        # "will be added to each of the matrix combinations if none of the key:value pairs overwrite any of the original matrix values"
        places = [i for i, row in enumerate(rows) if not any(k in row and key(row[k]) != key(v) for k, v in entry.items())]
        for i in places:
            extras[i] = {**extras[i], **entry}
        if not places:
            alone.append(entry)
    return [{**row, **extra} for row, extra in zip(rows, extras, strict=True)] + alone


@settings(max_examples=300, deadline=None)
@given(
    axes=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=3),
    include=st.lists(ENTRY, max_size=4),
    exclude=st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=2), max_size=3),
)
def test_legs_are_those_of_the_oracle(axes, include, exclude) -> None:
    whole = {**axes, "include": include, "exclude": exclude}
    wanted = oracle(whole)
    if not wanted:
        with pytest.raises(matrix.MatrixError, match="no legs"):
            matrix.legs(whole)
        return
    assert [{k: key(v) for k, v in leg.items()} for leg in matrix.legs(whole)] == [{k: key(v) for k, v in leg.items()} for leg in wanted]


def test_the_example_of_the_documentation() -> None:
    """The one from "Expanding or adding matrix configurations"."""
    given_matrix = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }
    assert matrix.legs(given_matrix) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_too_many_legs() -> None:
    with pytest.raises(matrix.MatrixError, match="289 legs; 256 are allowed"):
        matrix.legs({"a": list(range(17)), "b": list(range(17))})
