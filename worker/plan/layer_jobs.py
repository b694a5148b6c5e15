"""A job with one layer of its list in the place of its own voice or music.

So every voice is spoken, fitted into its time and kept as the one of the short form is, and every piece of music is
fetched and looped as the short form's.
"""

from __future__ import annotations

from typing import Any

from worker.payload.layers import LayerFields, MusicLayer, RecordingLayer, SpeechLayer
from worker.payload.schema import BackgroundMusic, RenderJob
from worker.plan.fit import fade_frames
from worker.plan.recordings import in_frames


def speech_jobs(job: RenderJob) -> list[RenderJob]:
    """One job for each voice: the job itself where it has one of its own, then one for each of its list."""
    listed = (layer for layer in job.layer_list if isinstance(layer, SpeechLayer))
    return [*([job] if job.has_voice else []), *(speech_job(job, layer) for layer in listed)]


def speech_job(job: RenderJob, layer: SpeechLayer) -> RenderJob:
    """The job with a layer's voice as its only one; where that has to end before the fade-out, so does the job."""
    changes = {
        "script": layer.script,
        "voice": layer.voice,
        "start_delay_s": layer.start_s,
        "pause_s": layer.pause_s,
        "pause_jitter_s": layer.pause_jitter_s,
        "loop_mode": layer.loop_mode,
        "interval_s": layer.interval_s,
    }
    if layer.end_s is not None and job.duration_min is not None:
        frames = in_frames(job.duration_min * 60)
        if in_frames(layer.end_s) < frames - fade_frames(job, frames)[1]:
            changes |= {"duration_min": layer.end_s / 60, "fade": job.fade.model_copy(update={"out_ms": 0.0})}
    return job.model_copy(update=changes)


def music_job(job: RenderJob, layer: MusicLayer | RecordingLayer) -> RenderJob:
    """The job with a layer's music as its own, as long as the layer."""
    named: dict[str, Any] = {"id": layer.id, "name": layer.title} if isinstance(layer, MusicLayer) else {}
    music = BackgroundMusic.model_construct(url=layer.url, loop=layer.loop, **named)
    length_s = _length_s(job, layer)
    length_min = job.duration_min if length_s is None else length_s / 60
    return job.model_copy(update={"background_music": music, "duration_min": length_min})


def _length_s(job: RenderJob, layer: LayerFields) -> float | None:
    """How long a layer sounds; None where that is not known before the speech is."""
    end_s = layer.end_s
    if job.duration_min is not None:
        end_s = job.duration_min * 60 if end_s is None else min(end_s, job.duration_min * 60)
    return None if end_s is None else max(end_s - layer.start_s, 0.0)
