import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite.counting import counted
from suite.data.prompt_files import prompt_keys, read_rows, read_task
from suite.errors import DataError

Rows = list[dict[str, Any]]


def rows(*names: str) -> Rows:
    return [{"prompt": f"say {name}", "answer": name} for name in names]


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Path]:
    """``task(train=..., eval=..., test=...)``: a task folder with these files."""

    def write(**files: Rows | None) -> Path:
        folder = tmp_path / "colours"
        folder.mkdir()
        for name, content in files.items():
            if content is not None:
                (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return folder

    return write


def test_splits_are_read_in_file_order_with_stable_ids(task: Callable[..., Path]) -> None:
    found = read_task(task(train=rows("red", "blue"), eval=rows("pink"), test=rows("grey")))
    assert found.train.answers == ("red", "blue")
    assert found.validation.prompts == ("say pink",)
    assert found.note == ""
    place, digest = found.train.ids[1].split(":")
    assert place == "colours/train/1"
    assert len(digest) == 12


def test_changed_content_changes_the_id(task: Callable[..., Path]) -> None:
    folder = task(train=rows("red"))
    before = read_rows(folder / "train.json", "train").ids
    (folder / "train.json").write_text(json.dumps([{"prompt": "say red", "answer": "RED"}]))
    assert before != read_rows(folder / "train.json", "train").ids


def test_training_rows_of_test_prompts_are_dropped_and_counted(task: Callable[..., Path]) -> None:
    folder = task(train=rows("red", "blue", "grey"), eval=rows("pink"), test=[{"prompt": "Say  GREY", "answer": "x"}])
    found = read_task(folder)
    assert found.train.answers == ("red", "blue")
    assert found.note == "1 train row dropped that test also has"
    assert read_task(folder, train_overlap="keep").train.answers == ("red", "blue", "grey")


def test_validation_that_equals_test_is_held_out_of_train(task: Callable[..., Path]) -> None:
    """As the official FOMC files are: eval.json = test.json."""
    train = rows(*(f"word{number}" for number in range(40)), "word0", "word1")
    found = read_task(task(train=train, eval=rows("a", "b"), test=rows("a", "b")))
    held = set(prompt_keys(found.validation))
    assert len(held) == 4
    assert not held & set(prompt_keys(found.train))
    assert not held & set(prompt_keys(found.test))
    assert len(found.train) + len(found.validation) == len(train)
    expected = f"2 validation rows dropped that test or train also has, {counted(len(found.validation), 'validation row')} held out of train"
    assert found.note == expected


def test_validation_rows_of_training_prompts_are_dropped(task: Callable[..., Path]) -> None:
    found = read_task(task(train=rows("red", "blue"), eval=rows("red", "pink"), test=rows("grey")))
    assert found.validation.answers == ("pink",)
    assert found.note == "1 validation row dropped that test or train also has"


def test_missing_validation_file_is_held_out_of_train(task: Callable[..., Path]) -> None:
    found = read_task(task(train=rows("red", "blue", "green"), test=rows("grey")))
    assert (len(found.train), len(found.validation)) == (2, 1)


BAD_ROWS = {
    "no answer": ([{"prompt": "p"}], "row 0 has no 'answer'"),
    "empty answer": ([*rows("a"), {"prompt": "p", "answer": " \n"}], "row 1 has an empty 'answer'"),
    "empty prompt": ([{"prompt": "", "answer": "a"}], "row 0 has an empty 'prompt'"),
    "number": ([{"prompt": "p", "answer": 12}], "row 0 has 12 as 'answer', which is no string"),
    "null": ([{"prompt": None, "answer": "a"}], "row 0 has null as 'prompt'"),
    "half a character": ([{"prompt": "p", "answer": "\ud83d"}], "lone surrogate"),
    "no object": (["p"], "row 0 is a str"),
    "no list": ({"prompt": "p", "answer": "a"}, "holds a dict instead of a list"),
    "no row": ([], "holds no row"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_are_named_in_one_sentence(name: str, tmp_path: Path) -> None:
    content, expected = BAD_ROWS[name]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        read_rows(path, "train")
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_BYTES = {
    "empty": (b"", "is empty"),
    "broken": (b'[{"prompt": "p", ', "is not valid JSON"),
    "not UTF-8": (b'[{"prompt": "\xff", "answer": "a"}]', "is not UTF-8 text"),
    "deeply nested": (b"[" * 100_000, "is not valid JSON"),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_unreadable_files_are_named(name: str, tmp_path: Path) -> None:
    content, expected = BAD_BYTES[name]
    (tmp_path / "train.json").write_bytes(content)
    with pytest.raises(DataError, match=expected):
        read_rows(tmp_path / "train.json", "train")


def test_task_folder_without_test_file(task: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"colours: has no test\.json"):
        read_task(task(train=rows("a"), eval=rows("b"), test=None))


def test_task_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_task(tmp_path / "absent")


def test_nothing_left_to_learn_from(task: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="every training prompt is also a test prompt"):
        read_task(task(train=rows("a"), eval=rows("b"), test=rows("a")))


def test_too_few_prompts_to_hold_out(task: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="one distinct training prompt"):
        read_task(task(train=rows("a", "a"), test=rows("b")))
