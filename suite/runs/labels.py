"""Tags and a note of a run: a person's own words. They lie beside the record, in ``labels.json``, and are no part of the run's identity."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from suite.errors import ConfigError, DamagedRun
from suite.files import atomic_write
from suite.runs.locking import locked
from suite.runs.record import RECORD

FILE, LOCK = "labels.json", ".labels.lock"
LONGEST_TAG, MOST_TAGS, LONGEST_NOTE = 64, 32, 4000  # characters, tags, characters: what MLflow takes of both together
SHOWN = 40  # characters of a refused tag in its sentence


def _tag(text: str) -> str:
    shown = text[:SHOWN] + ("..." if len(text) > SHOWN else "")
    if len(text) > LONGEST_TAG:
        raise ValueError(f"{shown!r}: a tag has {LONGEST_TAG} characters at most, this one has {len(text)}; use a note")
    if not text or text != text.strip() or "," in text or not text.isprintable():
        raise ValueError(f"{shown!r} is not a tag; write one or more words without commas, control characters and outer blanks")
    return unicodedata.normalize("NFC", text)


def _note(text: str) -> str:
    if len(text) > LONGEST_NOTE:
        raise ValueError(f"the note has {LONGEST_NOTE} characters at most, this one has {len(text)}; keep the rest in a file")
    if not all(character.isprintable() or character in "\n\t" for character in text):
        raise ValueError("the note holds control characters; write plain text")
    return text


class Labels(BaseModel):
    """What somebody said of a run.

    Attributes:
        tags: in the order in which they were given, each once.
        note: plain text, which every page shows as text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags: tuple[Annotated[str, AfterValidator(_tag)], ...] = ()
    note: Annotated[str, AfterValidator(_note)] = ""

    def __bool__(self) -> bool:
        return bool(self.tags or self.note)

    @classmethod
    def checked(cls, tags: tuple[str, ...], note: str) -> Labels:
        """The labels of these words.

        Raises:
            ConfigError: a word that is no tag, too many of them, or a note that is too long.
        """
        try:
            found = cls(tags=tuple(dict.fromkeys(tags)), note=note)
        except ValidationError as error:
            raise ConfigError(str(error.errors()[0]["msg"]).removeprefix("Value error, ") + ".") from None
        if len(found.tags) > MOST_TAGS:
            raise ConfigError(f"a run has {MOST_TAGS} tags at most, these are {len(found.tags)}; remove some, or write a note.")
        return found


NONE = Labels()


def read_labels(folder: Path) -> Labels:
    """The labels of the run in ``folder``; empty where nobody has given any.

    Raises:
        DamagedRun: the file holds something else.
    """
    file = folder / FILE
    try:
        return Labels.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return NONE
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no tags and note"
        raise DamagedRun(f"{file}: cannot be read ({reason}); correct or remove this file, the run itself is whole.") from None


def all_labels(place: Path) -> Mapping[str, Labels]:
    """Run id -> labels of the runs in the folder ``place`` that have some; damaged ones are left out."""
    return {run_id: labels for run_id, labels in _labelled(place) if labels}


def _labelled(place: Path) -> Iterator[tuple[str, Labels]]:
    for file in sorted(place.glob(f"*/{FILE}")):
        with suppress(DamagedRun):
            yield file.parent.name, read_labels(file.parent)


def change_labels(folder: Path, change: Callable[[Labels], Labels]) -> Labels:
    """Put ``change`` of a run's labels in their place and return it; two processes that change them at once both succeed.

    Raises:
        ConfigError: as ``change`` does.
        DamagedRun: there is no run, or the labels are damaged.
    """
    if not (folder / RECORD).is_file():
        raise DamagedRun(f"{folder}: there is no record; give the folder of a run.")
    with locked(folder / LOCK, lambda owner: None):
        try:
            before = read_labels(folder)
            labels = change(before)
            if labels != before:
                data = json.dumps(labels.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
                atomic_write(folder / FILE, data.encode())
            return labels
        finally:
            (folder / LOCK).unlink(missing_ok=True)
