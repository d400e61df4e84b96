"""The storage that a study's driver works on: everything in memory, and what must survive the driver in Optuna's database.

Optuna's own storage asks the database again for every question, which costs more with every trial. Here a question costs nothing:
a study has one driver (see ``suite.tuning.sole_driver``), so what it has read once and written since is all there is.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any

from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_ABSENT = object()
NOTE, NOTE_VERSION = "dashboard:note_str:", "dashboard:note_ver"
OWN_VERSION = "codyra:note_ver"  # of the note as the suite left it
LONGEST_PIECE = 2045  # characters


class _Row:
    """What the database has of a trial; copied, because Optuna changes a trial that is being drawn in place."""

    def __init__(self, number: int, trial: FrozenTrial) -> None:
        self.number, self.state = number, trial.state
        self.params = set(trial.params)
        self.user_attrs, self.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)


class StudyStorage(InMemoryStorage):
    """One study. What is set on a trial stays in memory until ``write``; what is set on the study, and a trial that is to wait, is written at once.

    Args:
        database: where the study lies, or is made.
    """

    def __init__(self, database: RDBStorage, name: str, directions: Sequence[StudyDirection]) -> None:
        super().__init__()
        self._database = database
        self._written: list[_Row] = []  # in the order of their numbers
        self._open: set[int] = set()  # numbers of the trials that have not ended
        self._shown: list[int] | None = None  # numbers of the trials that questions are answered from; None = all
        found = next((study for study in database.get_all_studies() if study.study_name == name), None)
        self._study_in_database = found._study_id if found else database.create_new_study(directions, name)
        self.study_id = super().create_new_study(found.directions if found else directions, name)
        if found is None:
            return
        for key, value in found.user_attrs.items():
            super().set_study_user_attr(self.study_id, key, value)
        for key, value in found.system_attrs.items():
            super().set_study_system_attr(self.study_id, key, value)
        for trial in sorted(database.get_all_trials(found._study_id, deepcopy=False), key=lambda trial: trial.number):
            self._written.append(_Row(trial._trial_id, trial))
            self._note(super().create_new_trial(self.study_id, trial))

    def _note(self, trial_id: int) -> None:
        trial = self.get_trial(trial_id)
        if trial.state.is_finished():
            self._open.discard(trial.number)
        else:
            self._open.add(trial.number)

    @contextmanager
    def showing(self, ended: Set[int] | None) -> Iterator[None]:
        """Meanwhile ``get_all_trials`` gives, of the trials that have ended, those with these numbers; None = all."""
        if ended is not None:
            self._shown = sorted({*ended, *self._open})
        try:
            yield
        finally:
            self._shown = None

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if self._shown is None:
            return super().get_all_trials(study_id, deepcopy, states)
        every = super().get_all_trials(study_id, deepcopy=False)
        found = [every[number] for number in self._shown if states is None or every[number].state in states]
        return copy.deepcopy(found) if deepcopy else found

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_user_attr(self._study_in_database, key, value)
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_system_attr(self._study_in_database, key, value)
        super().set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        found = super().create_new_trial(study_id, template_trial)
        self._note(found)
        if template_trial is not None:
            self.write(self.get_trial_number_from_id(found))
        return found

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        self._note(trial_id)
        return done

    def note(self, text: str) -> None:
        """Put ``text`` into the study's note of optuna-dashboard; one that a person wrote there stays.

        The dashboard keeps a note as numbered pieces among the study's system attributes, with the number of its version:
        https://github.com/optuna/optuna-dashboard/blob/main/optuna_dashboard/_note.py
        """
        known = self.get_study_system_attrs(self.study_id)
        before = "".join(known.get(f"{NOTE}{piece}", "") for piece in range(len(known)))
        version = known.get(NOTE_VERSION, 0)
        if before == text or version != known.get(OWN_VERSION, 0):
            return
        pieces = [text[start : start + LONGEST_PIECE] for start in range(0, len(text), LONGEST_PIECE)]
        unused = [""] * sum(key.startswith(NOTE) for key in known)
        for place, piece in enumerate([*pieces, *unused[len(pieces) :]]):
            self.set_study_system_attr(self.study_id, f"{NOTE}{place}", piece)
        for key in (NOTE_VERSION, OWN_VERSION):
            self.set_study_system_attr(self.study_id, key, version + 1)

    def write(self, number: int) -> None:
        """Bring trial ``number`` into the database as it is now; a new one in one transaction, with all that it has."""
        trials = self.get_all_trials(self.study_id, deepcopy=False)
        for new in trials[len(self._written) : number + 1]:
            row = self._database.create_new_trial(self._study_in_database, new)
            self._written.append(_Row(row, new))
        now, before = trials[number], self._written[number]
        row = before.number
        if now.state is not before.state and not now.state.is_finished():
            self._database.set_trial_state_values(row, now.state)
        for name, value in now.params.items():
            if name not in before.params:
                kind = now.distributions[name]
                self._database.set_trial_param(row, name, kind.to_internal_repr(value), kind)
        for key, value in now.system_attrs.items():
            if before.system_attrs.get(key, _ABSENT) != value:
                self._database.set_trial_system_attr(row, key, value)
        for key, value in now.user_attrs.items():
            if before.user_attrs.get(key, _ABSENT) != value:
                self._database.set_trial_user_attr(row, key, value)
        if now.state is not before.state and now.state.is_finished():
            self._database.set_trial_state_values(row, now.state, now.values)
        self._written[number] = _Row(row, now)
