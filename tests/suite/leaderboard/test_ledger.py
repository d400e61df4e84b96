"""Published numbers: read whole, marked, never mixed up in scale; verdicts from the committed tolerances."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from suite.leaderboard.ledger import BACKBONES, LEDGERS, PUBLISHED, published_frame, published_values, with_published
from suite.leaderboard.reproduction import INSIDE, NOT_ATTEMPTED, OUTSIDE, reproduction_frame, tolerances
from suite.leaderboard.table import leaderboard_frame
from suite.metrics.conventions import METRICS
from suite.registry import METHODS
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


def test_published_rows_follow_their_benchmark_and_are_marked(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(benchmark="xtail"), make_record(benchmark="zz")])
    both = with_published(frame, ["xtail", "zz"])
    assert list(dict.fromkeys(both["benchmark"])) == ["xtail", "zz"]
    published = both[both["data_fingerprint"] == PUBLISHED]
    assert published["method"].str.endswith("(published)").all()
    assert (published["n"] == 0).all()
    assert (published["source"] != "").all()
    assert with_published(frame, ["zz"]) is frame


def test_tolerances_name_what_exists() -> None:
    table = tolerances()
    assert set(table["benchmark"]) <= set(LEDGERS)
    assert set(table["method"]) <= set(METHODS)
    assert (table["tolerance"] > 0).all()
    assert not table.duplicated(["benchmark", "published_method", "metric"]).any()
    for _, rule in table.iterrows():
        values = published_values(str(rule["benchmark"]))
        assert ((values["method"] == rule["published_method"]) & (values["metric"] == rule["metric"])).any(), dict(rule)


OPENAI = {"name": "open-clip", "model": "ViT-B-16-quickgelu", "pretrained": "openai"}


@pytest.fixture
def xtail_run(make_record: Callable[..., Record]) -> Callable[..., Record]:
    """A run of CoDyRA on xtail whose matrix has the given constant accuracy."""

    def make(
        accuracy: float, *, rank: int = 16, setting: dict[str, Any] | None = None, backbone: dict[str, Any] | None = None, **fields: Any
    ) -> Record:
        record = make_record(
            "codyra", rows=[[accuracy] * 3] * 4, hyperparameters={"rank": rank, "placement": "qkvoinout"}, benchmark="xtail", **fields
        )
        config: dict[str, Any] = {**record.config, "backbone": {**OPENAI, **(backbone or {})}}
        whole = {"order": "I", "shots": 16, "data": "complete", **(setting or {})}
        return record.model_copy(update={"setting": whole, "config": config})

    return make


def verdicts(record: Record) -> dict[str, str]:
    frame = reproduction_frame(leaderboard_frame([record], "zscl"), [record], ["xtail"])
    page = frame[(frame["published method"] == "CoDyRA") & frame["source"].str.contains("index.html")]
    return dict(zip(page["metric"], page["verdict"], strict=True))


def test_verdicts_compare_with_the_tolerance(xtail_run: Callable[..., Record]) -> None:
    """Published 63.2, 71.3, 79.2 with 1.5 points: a flat 72 lies inside for the average alone."""
    expected = {"zscl.transfer": OUTSIDE, "zscl.average": INSIDE, "zscl.last": OUTSIDE}
    assert verdicts(xtail_run(72.0)) == expected
    record = xtail_run(72.0)
    frame = reproduction_frame(leaderboard_frame([record], "zscl"), [record], ["xtail"])
    row = frame[(frame["published method"] == "CoDyRA") & (frame["metric"] == "zscl.average")].iloc[0]
    assert row["difference"] == pytest.approx(0.7)
    assert (row["own"], row["n"], row["runs"]) == (72.0, 1, record.run_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"setting": {"order": "II"}},
        {"setting": {"shots": 160}},
        {"setting": {"data": "partial"}},
        {"backbone": {"model": "ViT-L-14-quickgelu"}},
        {"backbone": {"pretrained": "metaclip_400m"}},
        {"backbone": {"pretrained": None}},
        {"rank": 8},
    ],
    ids=str,
)
def test_what_is_not_comparable_is_not_attempted(fields: dict[str, Any], xtail_run: Callable[..., Record]) -> None:
    assert set(verdicts(xtail_run(72.0, **fields)).values()) == {NOT_ATTEMPTED}


def test_of_equally_many_runs_the_newest_is_judged_and_not_the_one_that_fits_best(xtail_run: Callable[..., Record]) -> None:
    fits = xtail_run(71.5, run_id="fits", settings_hash="x")
    newest = xtail_run(50.0, run_id="newest", settings_hash="y", started_at=datetime(2026, 2, 1, tzinfo=UTC))
    for records in ([fits, newest], [newest, fits]):
        frame = reproduction_frame(leaderboard_frame(records, "zscl"), records, ["xtail"])
        assert set(frame[frame["published method"] == "CoDyRA"]["runs"]) == {"newest"}


@pytest.mark.parametrize(("benchmark", "scoring"), [("trace", "trace"), ("trace-500", "treelora")])
def test_text_scored_by_another_rule_is_not_comparable(benchmark: str, scoring: str, make_record: Callable[..., Record]) -> None:
    """The TRACE paper counts raw equality, the sources of the 500-row numbers accept any answer that begins with the target."""

    def attempted(rule: str) -> bool:
        record = make_record("lora", benchmark=benchmark, setting={"order": 1, "scoring": rule}, scoring=rule)
        record.config["backbone"] = {"name": "causal-lm", "model": "meta-llama/Llama-2-7b-chat-hf"}
        frame = reproduction_frame(leaderboard_frame([record], "trace"), [record], [benchmark])
        return bool((frame["verdict"] != NOT_ATTEMPTED).any())

    assert [attempted(rule) for rule in ("strict", "trace", "treelora")] == [rule == scoring for rule in ("strict", "trace", "treelora")]


def test_the_forgetting_of_both_pages_is_read() -> None:
    """The CoDyRA page prints "Forgetting", the MoRAM page the same values as "BWT" without sign."""
    values = published_values("trace-500")
    values = values[values["metric"] == "treelora.forgetting"]
    by_page = {page: values[values["source"].str.contains(page)].set_index(["backbone", "method"])["value"] for page in ("CoDyRA", "MoRAM")}
    assert [len(page) for page in by_page.values()] == [30, 30]
    both = by_page["CoDyRA"].index.intersection(by_page["MoRAM"].index)
    assert len(both) == 27
    assert (by_page["CoDyRA"][both] == by_page["MoRAM"][both]).all()


def test_methods_without_a_tolerance_are_listed_too(xtail_run: Callable[..., Record]) -> None:
    record = xtail_run(72.0)
    frame = reproduction_frame(leaderboard_frame([record], "zscl"), [record], ["xtail"])
    others = frame[frame["published method"] == "LADA"]
    assert set(others["verdict"]) == {NOT_ATTEMPTED}
    assert others["own"].isna().all()
    assert len(frame) == len(published_values("xtail"))
    assert reproduction_frame(pd.DataFrame(), [], ["unknown"]).empty
    assert np.isfinite(frame["published"]).all()
