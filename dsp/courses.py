"""Courses: frequencies over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Course = tuple[tuple[float, float], ...]
"""Seconds and Hz: straight lines between points, the first and last value hold outside; one point if it is steady."""


def hz_at(course: Course, seconds: ArrayLike) -> NDArray[np.float64]:
    """Frequencies of a course at some times."""
    points = np.array(course)
    return np.asarray(np.interp(np.asarray(seconds), points[:, 0], points[:, 1]))
