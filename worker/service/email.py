"""Write e-mails. Pure.

No e-mail contains the customer's script, and no subject a word of anybody else's: whoever may insert jobs could have us
write to a stranger. A title stands in the body only, escaped, and not as a link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from worker.masks import masked
from worker.queue.claims import Cause, Claim

_LONGEST_MESSAGE = 500
_LONGEST_TITLE = 120
_LINK = re.compile(r"\s*://\s*|(?<=\w)[.。．｡](?=[^\W\d_])")  # as mail programs find them: `https://x`, `x.com`
_READY = "Your track is ready"


@dataclass(frozen=True)
class Email:
    """An e-mail, ready to send. Within 24 hours, Resend sends requests with the same `key` once."""

    to: str
    subject: str
    text: str
    html: str
    key: str


def ready_email(to: str, *, job_id: str, summary: Mapping[str, object], app_url: str | None) -> Email:
    """Write to the owner that the track is ready.

    Of `JobOutput.summary`, title, duration_s and preview_url are used, if they are there; `app_url` is of the library.
    """
    name = _without_links(_one_line(str(summary.get("title") or ""), _LONGEST_TITLE))
    called = f"“{name}”" if name else "Your track"
    duration_s = summary.get("duration_s")
    length = ""
    if isinstance(duration_s, float) and duration_s:
        minutes = round(duration_s / 60)
        length = f" ({minutes} minute{'s' if minutes > 1 else ''})" if minutes else " (under a minute)"
    line = f"{called}{length} is finished and waiting in your library."
    links = {
        label: url
        for label, url in (("Open your library", app_url), ("Hear the preview", summary.get("preview_url")))
        if isinstance(url, str) and url.startswith(("https://", "http://"))
    }
    text = "\n\n".join([line, *(f"{label}: {url}" for label, url in links.items())]) + "\n"
    return Email(to, _READY, text, _page(_READY, [line], links), f"track-ready/{job_id}")


def failed_email(
    to: str,
    *,
    job_id: str,
    code: str,
    message: str,
    attempts: int | None,
    track_id: str | None = None,
    user_id: str | None = None,
) -> Email:
    """Write to the operators that a job has failed for good.

    `message` is the error's line for operators; it must not quote the script.
    """
    facts = {
        "Job": job_id,
        "Track": track_id,
        "Customer": user_id,
        "Error": code,
        "Message": message,
        "Attempts": "unknown" if attempts is None else str(attempts),
    }
    subject = f"Job {job_id} has failed: {_one_line(code, _LONGEST_TITLE)}"
    return _operators_email(to, subject, "A job has failed for good", facts, f"job-failed/{job_id}")


def cause_email(to: str, cause: Cause, *, is_fixed: bool) -> Email:
    """Write to the operators that jobs wait for something, or that none does any more.

    All workers write the same, and within an hour it is sent once.
    """
    # of a cause the last part is its code; the others may be names that a job has chosen
    subject = f"{'Jobs go on' if is_fixed else 'Jobs wait'}: {cause.name.rpartition('/')[2]}"
    heading = "No job waits for this any more" if is_fixed else "Jobs wait until something is fixed"
    facts = {"Cause": cause.name, "Message": cause.message}
    key = f"{'cause-gone' if is_fixed else 'cause'}/{cause.name}/{cause.since:%Y-%m-%dT%H}"
    return _operators_email(to, subject, heading, facts, key)


def without_music_email(to: str, claim: Claim, *, message: str) -> Email:
    """Write to the operators that a track was delivered without its music, and why."""
    facts = {"Job": claim.job_id, "Track": claim.track_id, "Customer": claim.user_id, "Music": message}
    subject = f"Job {claim.job_id} was delivered without its music"
    heading = "A job was delivered without its music"
    return _operators_email(to, subject, heading, facts, f"job-without-music/{claim.job_id}")


def _operators_email(to: str, subject: str, heading: str, facts: Mapping[str, str | None], key: str) -> Email:
    subject = masked(subject)
    lines = [f"{name}: {_one_line(masked(value or 'none'), _LONGEST_MESSAGE)}" for name, value in facts.items()]
    return Email(to, subject, f"{heading}.\n\n" + "\n".join(lines) + "\n", _page(heading, lines, {}), key)


def _page(heading: str, lines: list[str], links: Mapping[str, str]) -> str:
    paragraphs = [f"<p>{html.escape(line)}</p>" for line in lines]
    paragraphs += [f'<p><a href="{html.escape(url)}">{html.escape(label)}</a></p>' for label, url in links.items()]
    return (
        '<!doctype html><html lang="en"><body style="font-family:sans-serif;line-height:1.5;color:#222">'
        f'<h1 style="font-size:1.2em">{html.escape(heading)}</h1>{"".join(paragraphs)}</body></html>'
    )


def _without_links(text: str) -> str:
    """A text that no mail program makes a link of."""
    return _LINK.sub(lambda found: " " if ":" in found[0] else f"{found[0]} ", text)


def _one_line(text: str, longest: int) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest]
