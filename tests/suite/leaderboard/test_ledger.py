"""Published numbers: read whole, marked and graded, never mixed up in scale."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pandas as pd
import pytest

from suite.leaderboard.ledger import (
    BACKBONES,
    LEDGERS,
    PUBLISHED,
    format_notes,
    published_frame,
    published_values,
    source_notes,
    with_published,
)
from suite.leaderboard.protocols import published_sources
from suite.leaderboard.table import leaderboard_frame
from suite.metrics.conventions import METRICS
from suite.runs.record import Record


@pytest.mark.parametrize("benchmark", sorted(LEDGERS))
def test_values_are_percent_with_a_source(benchmark: str) -> None:
    values = published_values(benchmark)
    assert len(values) > 0
    assert set(values["metric"]) <= set(METRICS)
    assert values["source"].str.len().gt(10).all()
    assert values["value"].abs().max() <= 100
    assert not values["setting"].str.contains("fraction|percent").any()  # all are percent by now, whatever was printed
    scores = values[values["metric"].str.endswith((".op", ".last"))]["value"]
    assert scores.min() > 5  # a fraction that was not scaled would be below 1
    assert set(values["backbone"]) <= set(BACKBONES)


def test_known_rows_read_as_printed() -> None:
    xtail = published_frame(["xtail"])
    codyra = xtail[xtail["method"] == "CoDyRA (published)"].iloc[0]
    assert (codyra["zscl.transfer"], codyra["zscl.average"], codyra["zscl.last"]) == (63.2, 71.3, 79.2)
    trace = published_values("trace")
    lora = trace[(trace["method"] == "LoraSeqFT") & (trace["backbone"] == "LLaMA-2-7B-Chat") & (trace["metric"] == "trace.op")]
    assert set(lora["value"].round(3)) == {12.7}


@pytest.mark.filterwarnings("error")
def test_published_rows_follow_their_benchmark_and_are_marked(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(benchmark="xtail"), make_record(benchmark="zz")])
    both = with_published(frame, ["xtail", "zz"])
    assert list(dict.fromkeys(both["benchmark"])) == ["xtail", "zz"]
    published = both[both["data_fingerprint"] == PUBLISHED]
    assert published["method"].str.endswith(("(published)", "(published, second-hand)")).all()
    assert (published["method"].str.contains("second-hand") == (published["grade"] == "second-hand")).all()
    assert (published["n"] == 0).all()
    assert (published["source"] != "").all()
    assert with_published(frame, ["zz"]) is frame
    alone = with_published(leaderboard_frame([]), ["xtail"])
    assert set(alone["standing"]) == {""}


def test_every_shipped_table_is_named_and_every_source_is_graded() -> None:
    """Two files were shipped that no ledger named, so that no command ever showed them."""
    shipped = {entry.name for entry in (files("suite.leaderboard") / "published").iterdir() if entry.name.endswith(".csv")}
    matrices = {"clip_mtil_zscl_accuracy_matrices.csv"}  # what the tests of the metrics recompute
    assert {file for ledger in LEDGERS.values() for file in ledger.files} | matrices == shipped
    graded = published_sources().grades
    for benchmark in LEDGERS:
        for source in set(published_values(benchmark)["source"]):
            assert any(source.startswith(entry.source) for entry in graded), source


def test_a_longer_setting_is_another_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "full-shot; task-agnostic" is not "full-shot", though it begins like it."""
    row = {
        "benchmark": "MTIL",
        "order": "I",
        "backbone": "CLIP ViT-B/16",
        "method": "m",
        "metric": "Last",
        "part": "mean",
        "value": 1.0,
        "source": "s",
    }
    table = pd.DataFrame([{**row, "setting": "full-shot"}, {**row, "setting": "full-shot; task-agnostic"}])
    monkeypatch.setattr("suite.leaderboard.ledger._read", lambda file: table)
    assert set(published_values("mtil")["setting"]) == {"full-shot"}


def test_sources_say_how_they_were_read() -> None:
    """Authors' logs, authors' text, second-hand; a source in no entry counts as second-hand."""

    def grades(benchmark: str, method: str) -> set[str]:
        values = published_values(benchmark)
        return set(values[values["method"] == method]["grade"])

    assert grades("mtil", "ZSCL") == grades("standard-cl", "O-LoRA") == {"author's log"}
    assert grades("xtail", "CoDyRA") == grades("trace-500", "CoDyRA") == {"author's text"}
    assert grades("mtil", "DPW") == grades("xtail", "LADA") == grades("trace-500", "SeqLoRA") == {"second-hand"}
    assert published_sources().grade("somebody's notes", "ZSCL") == "second-hand"


def test_what_must_be_known_stands_below_published_rows() -> None:
    few_shot = "\n".join(source_notes(published_frame(["mtil-5shot"])))
    assert "neither splits nor prompts" in few_shot
    assert "source (author's text): " in few_shot
    assert "copying slip" in "\n".join(source_notes(published_frame(["trace-500"])))
    assert source_notes(pd.DataFrame({"method": ["own"]})) == []


def test_rows_say_their_number_formats_where_they_differ_or_stand_beside_published_ones() -> None:
    own = pd.DataFrame({"benchmark": "xtail", "method": ["lora", "codyra"], "judged_in": ["fp32", "bf16"]})
    several = "number format of the evaluation: own rows bf16 (codyra), fp32 (lora)"
    assert format_notes(own) == [several]
    assert format_notes(with_published(own, ["xtail"]))[0].startswith(f"{several}; the released CLIP code")
    assert format_notes(own[:1]) == []
    (one,) = format_notes(with_published(own[:1], ["xtail"]))
    assert one.startswith("number format of the evaluation: own rows all fp32; the released")


def test_the_forgetting_of_both_pages_is_read() -> None:
    """The CoDyRA page prints "Forgetting", the MoRAM page the same values as "BWT" without sign."""
    values = published_values("trace-500")
    values = values[values["metric"] == "treelora.forgetting"]
    by_page = {
        page: values[values["source"].str.contains(page)].set_index(["backbone", "method"])["value"]
        for page in ("CoDyRA", "MoRAM")
    }
    assert [len(page) for page in by_page.values()] == [30, 30]
    both = by_page["CoDyRA"].index.intersection(by_page["MoRAM"].index)
    assert len(both) == 27
    assert (by_page["CoDyRA"][both] == by_page["MoRAM"][both]).all()
