"""An album in its job process: its tracks made and put into storage, and what its row holds of them.

For the app the file of the whole is the track; the others are named in the row's ``result.tracks``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # heavy modules are loaded by the job process only
    from worker.job.publish import Published
    from worker.payload.album import Album
    from worker.render.album import ProducedAlbum
    from worker.render.materials import Materials
    from worker.render.progress import OnProgress

UPLOADS_FROM = 0.95  # of the job's progress: the render reaches it, and the uploads go on from there


def produced_album(
    album: Album, track_file: Path, preview_file: Path, *, materials: Materials, on_progress: OnProgress
) -> ProducedAlbum:
    """Make an album's tracks and its whole, in one folder; raises as `produce_album`."""
    from worker.codec.encoding import Encoding
    from worker.render.album import produce_album

    output = album.jobs[0].output
    names = (f"{track_file.stem}-{number:02d}{track_file.suffix}" for number in range(1, len(album.jobs) + 1))
    return produce_album(
        album,
        [track_file.with_name(name) for name in names],
        track_file,
        materials=materials,
        encoding=Encoding.for_quality(output.format, output.quality),
        preview=preview_file,
        preview_s=materials.config.preview_seconds,
        on_progress=lambda stage, fraction: on_progress(stage, UPLOADS_FROM * fraction),
        uploads=True,
    )


def result_of_tracks(album: Album, produced: ProducedAlbum, published: Published) -> dict[str, Any]:
    """What the row says of the tracks of an album, in their order."""
    tracks = zip(album.jobs, produced.tracks, produced.files, produced.starts_s, strict=True)
    return {
        "layers": max(len(report.layers) for report in produced.tracks),
        "tracks": [
            {
                "title": job.metadata.title,
                "url": published.beside[file],
                "start_s": round(start_s, 3),
                "duration_s": report.duration_s,
                "size": report.size_bytes,
                "integrated_lufs": report.integrated_lufs,
                "true_peak_dbtp": report.true_peak_dbtp,
                "layers": len(report.layers),
            }
            for job, report, file, start_s in tracks
        ],
    }


def notes_of_tracks(produced: ProducedAlbum) -> list[str]:
    """The notes of all tracks, each behind its track."""
    return [f"tracks[{number}]: {note}" for number, report in enumerate(produced.tracks) for note in report.notes]
