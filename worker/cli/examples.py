"""The example jobs and their music: in a checkout in its folder `examples/`, in a wheel beside the modules."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import worker
from worker.errors import WorkerError

_MODULES = Path(worker.__file__).parent


def examples_folder() -> Path:
    """The folder of the example jobs.

    Raises
    ------
    WorkerError
        If they are neither in a wheel nor in a checkout.
    """
    for folder in (_MODULES / "examples", _MODULES.parent / "examples"):
        if (folder / "start").is_dir():
            return folder
    raise WorkerError(f"the example jobs are not installed with {_MODULES}: install the wheel, or use a checkout")


def settings_template() -> str:
    """The settings as a file `.env`, each with its default and none of them set."""
    folder = examples_folder()
    packaged = folder / ".env.example"
    lines = (packaged if packaged.is_file() else folder.parent / ".env.example").read_text().splitlines()
    return "".join(f"{line if not line or line.startswith('#') else f'#{line}'}\n" for line in lines)


def has_local_voice() -> bool:
    """Whether a voice is installed that needs no key; `worker.tts` itself takes long to load."""
    return find_spec("hibari") is not None or shutil.which("espeak-ng") is not None
