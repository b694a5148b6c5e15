"""Combinations of settings in which every pair of values stands at least once: far fewer than all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations, product
from typing import Any


def all_pairs(dimensions: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Choose combinations, one after the other, each with the most pairs that no earlier one has; always the same."""
    names = list(dimensions)
    left = {
        (first, a, second, b)
        for first, second in combinations(names, 2)
        for a, b in product(dimensions[first], dimensions[second])
    }
    everything = [dict(zip(names, values, strict=True)) for values in product(*dimensions.values())]

    def pairs(chosen: dict[str, Any]) -> set[tuple[str, Any, str, Any]]:
        return {(first, chosen[first], second, chosen[second]) for first, second in combinations(names, 2)}

    found: list[dict[str, Any]] = []
    while left:
        best = max(everything, key=lambda chosen: len(pairs(chosen) & left))
        found.append(best)
        left -= pairs(best)
    return found


def each_value(chosen: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fewest of these combinations that have each value of each dimension."""
    every = {value for each in chosen for value in each.items()}
    sizes = (combinations(chosen, size) for size in range(len(chosen) + 1))
    return next(
        list(few) for few in chain.from_iterable(sizes) if {value for each in few for value in each.items()} == every
    )
