"""Affirmation and meditation tracks from Python: render a job, hear any span of it, check it, make single tones.

    import mindscript

    track = mindscript.render("job.json", "track.mp3")
    heard = mindscript.preview("job.json", at_s=60, seconds=15)
    mindscript.validate({"durationMin": 5, "binaural": {"band": "theta"}})
    mindscript.tones.binaural(200, 6, seconds=10)

A job is the path of a JSON file, or a mapping; docs/reference/job-payload.md says what it may hold. Settings and keys
come from the environment and from `.env`, as on the command line. In a notebook a track and a preview are players.
"""

from mindscript import tones
from mindscript.jobs import Checked, validate
from mindscript.previews import Preview, Previews, preview
from mindscript.tracks import Track, render
from worker.errors import JobError, MediaError, WorkerError
from worker.render.previewer import UnpaidSpeechError

__all__ = [
    "Checked",
    "JobError",
    "MediaError",
    "Preview",
    "Previews",
    "Track",
    "UnpaidSpeechError",
    "WorkerError",
    "preview",
    "render",
    "tones",
    "validate",
]
