"""The arguments of every command, and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.cli.operators import add_operators_commands
from worker.cli.parser import Parser, add_json

PURPOSES = ("make a track", "work through a queue", "look after a worker", "set up")
SHELLS = ("bash", "zsh", "fish")

_JOBS = "job files; patterns such as 'jobs/*.json'; *.jsonl with one job a line; - reads standard input"
_JOBS_EXIT = "Exit status: 0 all are good; 2 at least one is bad."


def build_parser() -> Parser:
    """Describe every command; the functions that run them are imported when they are called."""
    parser = Parser(
        prog="mindscript-worker",
        usage="%(prog)s [OPTION ...] COMMAND ...",
        description="Turns jobs for affirmation and meditation tracks into finished, measured files.",
        examples=("render job.json -o track.mp3", "help render"),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_render(commands)
    _add_validate(commands)
    _add_schema(commands)
    _add_inspect(commands)
    _add_album(commands)
    _add_say(commands)
    _add_voices(commands)
    _add_studio(commands)
    _add_demo(commands)
    _add_init(commands)
    _add_work(commands)
    _add_enqueue(commands)
    add_operators_commands(commands)
    _add_migrate(commands)
    _add_doctor(commands)
    _add_completion(commands)
    _add_help(commands)
    parser.list_by_purpose(PURPOSES)
    parser.finish()
    return parser


def _add_render(commands: Any) -> None:
    render = commands.add_parser(
        "render",
        purpose="make a track",
        help="render job files into tracks",
        examples=(
            "render job.json -o track.flac --voice me.wav --music rain.mp3",
            "render 'jobs/*.json' -o out/",
            "render job.json --from 1:00 --seconds 15 --play",
        ),
    )
    render.add_argument("jobs", nargs="+", metavar="JOB", help=_JOBS)
    render.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help="the track; its ending (mp3 m4a aac wav flac) wins over the job's outputFormat. A folder (out/) takes "
        "the tracks of many jobs, - is standard output. Without it: JOB's name in this folder",
    )
    render.add_argument("--force", action="store_true", help="replace files that exist")
    render.add_argument("--voice", type=Path, metavar="FILE", help="a recording in place of speech synthesis")
    render.add_argument("--music", type=Path, metavar="FILE", help="a file in place of the job's backgroundMusic.url")
    render.add_argument("--title", metavar="TEXT", help="a title in place of the job's")
    render.add_argument(
        "--new-take",
        type=int,
        action="append",
        default=[],
        dest="new_takes",
        metavar="LINE",
        help="have this line of the script spoken anew, and keep the new take; may be given more than once",
    )
    render.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="make only what begins here (90, 2.5, 1:30 or 1:02:03), as it sounds in the whole track",
    )
    render.add_argument("--seconds", metavar="TIME", help="how much of the track to make; without it: to the end")
    render.add_argument("--preview", metavar="FILE.mp3", help="write the 15 s preview here, too")
    render.add_argument("--report", metavar="FILE.json", help="write what was measured on the track")
    render.add_argument(
        "--watch", action="store_true", help="make it again when the job, or a file that it names, is saved"
    )
    render.add_argument("--play", action="store_true", help="play the track with a player that is installed")
    render.add_argument("--quiet", action="store_true", help="no progress bar, no table")
    add_json(render)
    _add_strict(render)


def _add_validate(commands: Any) -> None:
    validate = commands.add_parser(
        "validate",
        purpose="make a track",
        help="check job files, without rendering them; all mistakes at once",
        epilog=_JOBS_EXIT,
        examples=("validate job.json", "validate 'jobs/*.json' --strict"),
    )
    validate.add_argument("jobs", nargs="+", metavar="JOB", help=_JOBS)
    _add_strict(validate)
    add_json(validate)


def _add_schema(commands: Any) -> None:
    schema = commands.add_parser(
        "schema",
        purpose="make a track",
        help="print what a job may hold, as a JSON Schema",
        examples=("schema", "schema --typescript"),
    )
    schema.add_argument("--typescript", action="store_true", help="print TypeScript types instead")


def _add_strict(parser: Parser) -> None:
    parser.add_argument("--strict", action="store_true", help="keys that mean nothing are errors, not warnings")


def _add_inspect(commands: Any) -> None:
    inspect = commands.add_parser(
        "inspect",
        purpose="make a track",
        help="measure a finished file, and draw it",
        examples=("inspect track.mp3", "inspect track.mp3 --picture track.png", "inspect rain.mp3 --loop"),
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help="any audio file")
    inspect.add_argument("--picture", type=Path, metavar="OUT.png", help="draw waveform, loudness and spectrum")
    inspect.add_argument(
        "--html", type=Path, metavar="PAGE.html", help="make one page to send: player, waveform, receipt, picture"
    )
    inspect.add_argument("--force", action="store_true", help="replace files that exist")
    inspect.add_argument(
        "--loop", action="store_true", help="of music: show and draw where it would loop in a longer track, instead"
    )
    add_json(inspect)
    inspect.add_argument(
        "--lyrics",
        type=Path,
        metavar="FILE.vtt",
        help="where the voice is; FILE's own name with .vtt is found by itself",
    )
    inspect.add_argument(
        "--report",
        type=Path,
        metavar="REPORT.json",
        help="of `render --report`: what was promised; FILE's own name with .report.json is found by itself",
    )


def _add_album(commands: Any) -> None:
    album = commands.add_parser(
        "album",
        purpose="make a track",
        help="render an album: its tracks at one gain, and the whole with chapters",
        examples=("album album.json -o evenings/", "album album.json --no-whole"),
    )
    album.add_argument(
        "album", metavar="ALBUM", help="a JSON file: `tracks`, a list of jobs, beside fields that all share"
    )
    album.add_argument("-o", "--out", metavar="FOLDER", help="where the tracks go; default: a folder named as ALBUM")
    album.add_argument("--report", type=Path, metavar="REPORT.json", help="write what was measured on each file")
    album.add_argument(
        "--no-whole", dest="whole", action="store_false", help="only the tracks, not the file of all of them"
    )
    album.add_argument("--strict", action="store_true", help="keys that mean nothing are errors")
    album.add_argument("--force", action="store_true", help="replace files that exist")
    album.add_argument("--quiet", action="store_true", help="no progress bar, no table")
    add_json(album)


def _add_say(commands: Any) -> None:
    say = commands.add_parser(
        "say",
        purpose="make a track",
        help="speak a few words, to try a voice",
        examples=("say 'I am calm.' -o calm.wav", "say 'I am calm.' --voice openai:nova --speed 0.9"),
    )
    say.add_argument("text", metavar="TEXT", help="the words; a script's pauses work here, too")
    say.add_argument(
        "--voice",
        default="local",
        metavar="PROVIDER[:VOICE]",
        help="such as local, local:emma, openai:nova, elevenlabs:VOICE_ID; default: local",
    )
    say.add_argument("--model", metavar="NAME", help="the voice's model")
    say.add_argument("--speed", type=float, default=1.0, help="0.25 to 4; default: 1, the voice's own pace")
    say.add_argument("--take", type=int, default=1, help="which recording of the words, 1 to 99; default: 1")
    say.add_argument(
        "-o", "--out", metavar="FILE", help="the file, or - for standard output; without it: say.wav, say-2.wav, …"
    )
    say.add_argument("--force", action="store_true", help="replace a file that exists")
    say.add_argument("--play", action="store_true", help="play it with a player that is installed")
    say.add_argument("--quiet", action="store_true", help="no progress bar, no table")
    add_json(say)


def _add_voices(commands: Any) -> None:
    voices = commands.add_parser(
        "voices",
        purpose="make a track",
        help="list the voices that can be used now, and what the others need",
        examples=("voices", "voices --json"),
    )
    add_json(voices)


def _add_studio(commands: Any) -> None:
    studio = commands.add_parser(
        "studio",
        purpose="make a track",
        help="hear and change a job in the browser",
        description="Opens a page on this machine, and for this machine alone, where any stretch of a job's track is "
        "heard at once while the job is being changed. It ends with Ctrl-C.",
        examples=("studio", "studio job.json"),
    )
    studio.add_argument("job", nargs="?", metavar="JOB.json", help="the job to begin with; without it: a first one")
    studio.add_argument("--port", type=int, default=0, metavar="N", help="at 127.0.0.1; default: any that is free")
    studio.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="where recordings are found and tracks are written; default: the job's folder, or studio/ without a job",
    )


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo", purpose="make a track", help="render the example jobs into out/demo/", examples=("demo",)
    )
    demo.add_argument("--examples", type=Path, metavar="FOLDER", help="job files of your own, in place of the examples")
    demo.add_argument("--quiet", action="store_true", help="no progress bars, no words")
    add_json(demo)


def _add_init(commands: Any) -> None:
    init = commands.add_parser(
        "init",
        purpose="set up",
        help="write a first job, its music and a file for settings; never over a file",
        examples=("init", "init first-track"),
    )
    init.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: this folder")


def _add_work(commands: Any) -> None:
    work = commands.add_parser(
        "work",
        purpose="work through a queue",
        help="take jobs from the queue, for ever",
        epilog="Exit status with --drain: 0 no job has failed; 1 one has, or waits for what must be fixed.",
        examples=("work --drain", "work"),
    )
    work.add_argument(
        "--drain", action="store_true", help="stop when the queue is empty, and say what became of each job"
    )
    work.add_argument(
        "--json", action="store_true", dest="as_json", help="with --drain: say that as JSON; the log is on stderr"
    )


def _add_enqueue(commands: Any) -> None:
    enqueue = commands.add_parser(
        "enqueue",
        purpose="work through a queue",
        examples=("enqueue job.json", "enqueue 'jobs/*.json'", "enqueue album.json"),
        help="put jobs into the queue, with the files that lie beside them; none, if one is bad",
    )
    enqueue.add_argument("jobs", nargs="+", metavar="JOB", help=_JOBS)
    enqueue.add_argument(
        "--title", metavar="TEXT", help="the track's title; without it: the job's own, or its file's name"
    )
    _add_strict(enqueue)
    add_json(enqueue)


def _add_migrate(commands: Any) -> None:
    migrate = commands.add_parser(
        "migrate",
        purpose="set up",
        help="bring the database up to leased mode; additive, safe to repeat",
        examples=("migrate", "migrate --print"),
    )
    migrate.add_argument(
        "--print", action="store_true", dest="only_print", help="print the SQL instead, for an SQL editor"
    )
    migrate.add_argument(
        "--release", action="store_true", help="for a release phase: without DATABASE_URL do nothing, and succeed"
    )
    add_json(migrate)


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        purpose="set up",
        help="check everything the worker needs; a line each, with what to do",
        examples=("doctor", "doctor --online"),
    )
    doctor.add_argument(
        "--online",
        action="store_true",
        help="ask the services, too: whether they take each key, and have each model and voice",
    )
    add_json(doctor)


def _add_completion(commands: Any) -> None:
    completion = commands.add_parser(
        "completion",
        purpose="set up",
        help="print what makes a shell complete commands and options; its last line says where to put it",
        examples=tuple(f"completion {shell}" for shell in SHELLS),
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def _add_help(commands: Any) -> None:
    help_ = commands.add_parser(
        "help",
        purpose="set up",
        help="show the help of a command or an action",
        examples=("help render", "help jobs retry"),
    )
    help_.add_argument("words", nargs="*", metavar="COMMAND", help="such as render, or jobs retry; without it: all")
