"""A tuning on a terminal: no digit is cut, what does not fit is named, the sentences to quote come last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from suite.cli.tuned import show_tuning
from suite.leaderboard.tuned import TunedTrial
from suite.leaderboard.tuned_table import tuned_boards
from suite.leaderboard.tuned_words import closing
from suite.measuring.null_tuning import World, made_up_tuning

Show = Callable[..., list[str]]
WORLD = World({"codyra": 0.45, "replay + codyra": 0.5, "zscl": 0.3}, {"codyra": 0.3})


def test_a_table_of_eighty_columns_has_every_digit_and_names_what_it_leaves_out(show: Show) -> None:
    tuning = made_up_tuning(WORLD, 0)
    lines = show(lambda: show_tuning(tuning, {}), 80)
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    (board,) = tuned_boards(tuning)
    for row in board.rows.to_dict("records"):
        assert f"{row['default']:.1f} ± {row['default std']:.1f}" in text
        assert f"{row['gain']:+.1f} {row['gain low']:+.1f} to {row['gain high']:+.1f} 3 x 1" in text
    assert "not shown in 80 columns: trials, seconds, p of gain, settings; a wider terminal or --csv FILE shows them" in text
    assert text.endswith(closing(tuning, board))


def test_a_pipe_gets_every_column_and_the_sentence_on_one_line(show: Show) -> None:
    tuning = made_up_tuning(WORLD, 0)
    lines = show(lambda: show_tuning(tuning, {}), None)
    (board,) = tuned_boards(tuning)
    assert closing(tuning, board) in lines
    assert not any("not shown" in line for line in lines)
    assert sum("training.lr=0.0003" in line for line in lines) == 3


def test_runs_that_are_missing_are_counted(show: Show) -> None:
    tuning = made_up_tuning(WORLD, 0)
    first, *rest = tuning.methods
    begun = replace(tuning, methods=[replace(first, tuned=None, trials=(), chosen=None), *rest])
    lines = show(lambda: show_tuning(begun, {}), 80)
    (line,) = (line for line in lines if line.startswith("codyra "))
    assert " 3, 0 of 3 " in line
    assert "to be judged on seeds 1, 2, 3" in " ".join(lines)


def test_the_title_says_how_the_stream_was_learned_and_a_row_how_many_trials_failed(show: Show) -> None:
    tuning = made_up_tuning(WORLD, 0)
    first, *rest = tuning.methods
    failed = [*first.trials[:-1], TunedTrial(11, "FAIL", None, 0.0)]
    lines = show(lambda: show_tuning(replace(tuning, methods=[replace(first, trials=failed), *rest]), {}), None)
    assert lines[0].startswith(
        "tuning made up 0: made-up (5 tasks, 8 steps x 4 per task), zscl.last in %, judged on seeds 1, 2, 3"
    )
    assert lines[1] == "5 tasks: task 0, task 1, task 2, task 3, task 4"
    assert " 12 (1 failed) " in next(line for line in lines if line.startswith("codyra "))
    assert any("trials have another order of tasks than the judging runs" in line for line in lines)


def test_markdown_and_latex_hold_the_shown_table_and_csv_holds_everything(show: Show, tmp_path: Path) -> None:
    tuning = made_up_tuning(WORLD, 0)
    first, *rest = tuning.methods
    assert first.tuned is not None
    exact = replace(first, tuned=replace(first.tuned, values={"method.rank": 2, "training.lr": 0.00038804497848810043}))
    tuning = replace(tuning, methods=[exact, *rest])
    files = {form: tmp_path / form for form in ("csv", "markdown", "latex")}
    show(lambda: show_tuning(tuning, files), 80)
    full, markdown, latex = (path.read_text() for path in files.values())
    assert "training.lr=0.00038804497848810043" in full and "tuned std" in full
    (board,) = tuned_boards(tuning)
    best = board.rows.iloc[0]
    heads = "| method | default setting | tuned setting | gain | 95 % interval | n | optimism | trials | seconds | p of gain | settings |"
    assert markdown.splitlines()[0] == heads
    assert f"| {best['method']} |" in markdown and f" {best['tuned']:.1f} ± {best['tuned std']:.1f} ◆ |" in markdown
    assert "method.rank=2, training.lr=0.000388" in markdown and "0.00038804" not in markdown
    assert rf" & {best['tuned']:.1f} $\pm$ {best['tuned std']:.1f} $\blacklozenge$ & " in latex


def test_a_small_p_is_never_zero(show: Show) -> None:
    text = "\n".join(show(lambda: show_tuning(made_up_tuning(replace(WORLD, seeds=1), 0), {}), None))
    assert "< 0.001" in text and " 0.000 " not in text
