"""YAML of users: what is refused, in which words, and what is read as it is written."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.yaml_files import load_yaml, parse_yaml

LETTERS = "abcdefghijklmnop"
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for old, new in itertools.pairwise(LETTERS)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 8)}]}}\n" for old, new in itertools.pairwise(LETTERS)
)
NAMED = "a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(100))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 3000, "line 1 is nested more than 50 levels deep"),
        ("? " * 3000, "nested more than 50 levels"),
        (NAMED, "nested more than 50 levels"),
        ("[" + "1," * 60_000 + "]", "more than 50000 values"),
        (BOMB, "more than 50000 values"),
        (MERGES, "more than 50000 values"),
        ("a: &a [*a]", r"'\*a' in line 1 names nothing that ends before it"),
        ("a: b\n" * 300_000, "1500000 characters, 1048576 at most"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice in line 3, column 1"),
        ("a: {b: 1, b: 2}", "the key 'b' stands twice"),
        ("a: .nan", "'.nan' is no number that a setting can have in line 1"),
        ("a: -.inf", "'-.inf' is no number"),
        ("a: 1.0e+999", "is no number"),
        ("a: " + "1" * 5000, "a number of 5000 characters"),
        ("a: 1" + ":1" * 100_000, "a number of 200001 characters"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: !!binary abc=", "could not determine a constructor"),
        ("a: 1\n---\nb: 2", "another document"),
        ("\ta: 1", "cannot start any token in line 1"),
        ("a: \0", "control characters are not allowed"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        parse_yaml(text)
    assert len(str(refused.value)) < 250
    assert "\n" not in str(refused.value)


def test_what_people_write_is_read() -> None:
    text = "a: &part {b: 1}\nc: {<<: *part, d: [*part, 2.5]}\nday: 2024-13-45\n"
    assert parse_yaml(text) == {"a": {"b": 1}, "c": {"b": 1, "d": [{"b": 1}, 2.5]}, "day": "2024-13-45"}
    assert parse_yaml("[" * 50 + "]" * 50)


def test_a_config_file_is_read_with_and_without_byte_order_mark_and_from_a_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for content in (b"name: caf\xc3\xa9\n", b"\xef\xbb\xbfname: caf\xc3\xa9\n"):
        path.write_bytes(content)
        assert load_yaml(path) == {"name": "café"}
    with path.open("rb") as file:
        assert load_yaml(Path(f"/dev/fd/{file.fileno()}")) == {"name": "café"}


def test_every_unreadable_config_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "empty.yaml").write_text("# nothing yet")
    (tmp_path / "word.yaml").write_text("lora")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    reasons = {
        "latin.yaml": r"is not UTF-8 text \(byte 9\); save it as UTF-8",
        "list.yaml": "holds a list",
        "empty.yaml": "is empty; a config is a mapping of keys to values",
        "word.yaml": "holds a single value",
        "loop.yaml": "cannot be read",
        "pipe.yaml": "it is a pipe or a device",
        "none.yaml": "there is no such file",
        "x" * 300: "File name too long",
        ".": "is a folder",
        "/dev/zero": "it is a pipe or a device",
        "list.yaml/below": "cannot be read",
    }
    for name, reason in reasons.items():
        with pytest.raises(ConfigError, match=rf"{reason}.*\.$"):
            load_yaml(tmp_path / name)
