"""Pronunciations: whole words of any case, the longest first; lists that are refused, and files that hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config import Config
from worker.errors import ConfigurationError, JobError
from worker.payload.parse import parse_job
from worker.payload.script import Sentence, parse_script
from worker.pronounce import NO_PRONUNCIATIONS, Pronunciations, check_entries

WORDS = Pronunciations(
    {
        "Siobhan": "shi-VAWN",
        "can": "kan",
        "York": "yawk",
        "New York": "noo york",
        "New York City": "the big apple",
        "O'Neil": "oh neel",
        "C++": "see plus plus",
        "Zoe\u0308": "ZOH-ee",
        "重庆": "chong ching",
        "서울": "seoul",
        "क": "ka",
    }
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Siobhan, SIOBHAN and siobhan.", "shi-VAWN, shi-VAWN and shi-VAWN."),
        ("Siobhan's and Siobhan’s calm", "shi-VAWN's and shi-VAWN’s calm"),
        ("“Siobhan” (Siobhan) l'Siobhan", "“shi-VAWN” (shi-VAWN) l'shi-VAWN"),
        ("Siobhans and ESiobhan", "Siobhans and ESiobhan"),
        ("I can, I can't, I canned", "I kan, I can't, I canned"),
        ("York, New York, new  york, New York City", "yawk, noo york, noo york, the big apple"),
        ("O’Neil and O'Neil", "oh neel and oh neel"),
        ("C++ code", "see plus plus code"),
        ("Zoë", "ZOH-ee"),
        ("我爱重庆。", "我爱chong ching。"),
        ("서울은 조용하다", "seoul은 조용하다"),
        ("我叫Siobhan。", "我叫shi-VAWN。"),
        ("क का", "ka का"),
    ],
)
def test_whole_words_are_respelled(text, said):
    assert WORDS.respelled(text) == said


def test_a_respelling_is_not_respelled_again():
    assert Pronunciations({"a": "b", "b": "a"}).respelled("a b") == "b a"


@given(st.text(max_size=40))
def test_without_entries_nothing_changes(text):
    assert NO_PRONUNCIATIONS.respelled(text) == text


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), max_size=5), st.text(max_size=60)
)
def test_any_list_that_is_taken_works_on_any_text(entries, text):
    try:
        words = Pronunciations(check_entries(entries))
    except ValueError:
        return
    words.respelled(text)


def test_the_voice_gets_the_respelling_and_the_reader_the_word():
    parts = parse_script("Siobhan rests. I do.", pronunciations=WORDS).parts
    assert parts == (Sentence("Siobhan rests.", said_as="shi-VAWN rests."), Sentence("I do."))


class TestPayload:
    def test_words_are_taken(self):
        job = parse_job({"script": "Siobhan.", "pronounce": {"Siobhan": "shi-VAWN", " Zoe\u0308 ": "ZOH-ee"}})
        assert job.pronounce == {"Siobhan": "shi-VAWN", "Zoë": "ZOH-ee"}
        assert parse_job({"script": "Hi.", "pronounce": None}).pronounce == {}

    def test_they_leave_noise_and_shuffle_as_they_were(self):
        job = {"script": "Siobhan."}
        assert parse_job({**job, "pronounce": {"Siobhan": "shi-VAWN"}}).seed == parse_job(job).seed

    @pytest.mark.parametrize(
        "bad",
        [
            [],
            "Siobhan=shi-VAWN",
            7,
            {"Siobhan": 7},
            {"Siobhan": ""},
            {"": "x"},
            {"?": "x"},
            {"Siobhan": "..."},
            {"Siobhan": "x" * 101},
            {"x" * 101: "y"},
            {"Siobhan": "a\nb"},
            {"Siobhan": "<b>x</b>"},
            {f"word{n}": "x" for n in range(201)},
        ],
    )
    def test_a_bad_list_fails_the_job_by_name(self, bad):
        with pytest.raises(JobError, match=r"^pronounce: found .*, allowed is an object of at most 200 words"):
            parse_job({"script": "Hi.", "pronounce": bad})


class TestFile:
    @pytest.mark.parametrize(
        "text",
        [
            '{"Siobhan": "shi-VAWN", "New York": "noo york"}',
            "# names\nSiobhan = shi-VAWN\n\nNew York=noo york\n",
            "\ufeffSiobhan\t=\tshi-VAWN\r\nNew York = noo york",
        ],
    )
    def test_json_or_lines(self, tmp_path, text):
        file = tmp_path / "words"
        file.write_bytes(text.encode())
        config = Config.from_environ({"PRONOUNCE_FILE": str(file)})
        assert config.pronounce_file == {"Siobhan": "shi-VAWN", "New York": "noo york"}

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"{", "no valid JSON at line 1"),
            (b"[" * 100_000, "line 1 is not"),
            (b'{"a": {}}', "found no text at 'a'"),
            (b"Siobhan", "line 1 is not `word = respelling`"),
            (b"# x\n\nSiobhan =", "line 3 is not"),
            (b"a = \xff", "it is not UTF-8"),
            (None, "cannot be read: there is no such file"),
        ],
    )
    def test_a_bad_file_stops_the_start_by_name(self, tmp_path, content, says):
        file = tmp_path / "words"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            Config.from_environ({"PRONOUNCE_FILE": str(file)})
        assert caught.value.message.startswith("PRONOUNCE_FILE: ")
        assert says in caught.value.message
        assert str(file) in caught.value.message

    def test_none_by_default(self):
        assert Config.from_environ({}).pronounce_file == {}
