"""The stages of a job, in the very words that the app's progress page knows; it shows "preparing" for any other."""

from __future__ import annotations

from typing import Final

SPEAKING: Final = "Generating speech from text"
SPOKEN: Final = "Speech generation complete"
FETCHING_MUSIC: Final = "Processing background music"
MUSIC_READY: Final = "Background music ready"
SOLFEGGIO: Final = "Generating Solfeggio tones"
BINAURAL: Final = "Generating binaural beats"
MIXING: Final = "Mixing audio layers"
MIXED: Final = "Audio mixing complete"
PREVIEWING: Final = "Generating preview"
PREVIEWED: Final = "Preview generated"
UPLOADING: Final = "Uploading to storage"
FINALIZING: Final = "Finalizing"
COMPLETE: Final = "Complete"

PASSING: Final = frozenset({SPOKEN, MUSIC_READY, SOLFEGGIO, BINAURAL, MIXED, PREVIEWED})
"""Those that say what has just been done, or takes no time."""
