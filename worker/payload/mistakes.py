"""All that is wrong with one payload, gathered before anything is raised."""

from __future__ import annotations

from worker.errors import JobError

MOST_LINES = 100


class Mistakes:
    """Mistakes in the order in which they are found, and the places whose values cannot be used."""

    def __init__(self) -> None:
        self._errors: list[JobError] = []
        self._places: set[str] = set()

    def add(self, mistake: JobError | str, place: str = "") -> None:
        """Note a mistake; `place` is the field's dotted name, where its value is left out from here on."""
        self._errors.append(JobError(mistake) if isinstance(mistake, str) else mistake)
        if place:
            self._places.add(place)

    def touch(self, *places: str) -> bool:
        """Whether a value is wrong at one of these places, within it or around it: what depends on it is not known."""
        return any(_within(wrong, place) or _within(place, wrong) for wrong in self._places for place in places)

    def name(self, field: str) -> bool:
        """Whether a mistake begins with this name."""
        return any(error.message.startswith(f"{field}: ") for error in self._errors)

    def raise_any(self) -> None:
        """Raise what was found.

        Raises
        ------
        JobError
            With the first one's code and words, and the count of the others; `JobError.mistakes` has all.
        """
        if not self._errors:
            return
        first, more = self._errors[0], len(self._errors) - 1
        if not more:
            raise first
        own_words = first.customer_message != first.message
        lines = [error.message for error in self._errors[:MOST_LINES]]
        if len(self._errors) > MOST_LINES:
            lines.append(f"the job: {len(self._errors) - MOST_LINES} more errors are not shown")
        raise JobError(
            f"{first.message} (and {more} more error{'s' * (more > 1)})",
            code=first.code,
            customer_message=first.customer_message if own_words else None,
            mistakes=lines,
        )


def _within(place: str, outer: str) -> bool:
    return place == outer or place.startswith(f"{outer}.")
