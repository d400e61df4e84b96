"""Verdicts on published numbers: only for runs of the whole published protocol, else what differs or is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from suite.config import RunConfig, apply_overrides
from suite.leaderboard.ledger import LEDGERS, published_values
from suite.leaderboard.protocols import PublishedProtocol, flat, protocol_of, published_protocols
from suite.leaderboard.reproduction import INSIDE, NOT_ATTEMPTED, OUTSIDE, own_frame, reproduction_frame, reproduction_notes
from suite.leaderboard.table import leaderboard_frame
from suite.registry import METHODS
from suite.runs.record import Record
from suite.yaml_files import load_yaml

EXAMPLE = Path(__file__).parents[3] / "suite" / "workflows" / "examples" / "xtail_codyra_release.yaml"
JUDGED = [entry for entry in published_protocols() if entry.tolerance]


def first(wanted: object) -> object:
    """The published value itself, where several mean the same."""
    return wanted[0] if isinstance(wanted, tuple) else wanted


def in_config(protocol: PublishedProtocol) -> dict[str, object]:
    """What a protocol says about a config; how a run was carried stands in its record alone."""
    return {key: value for key, value in protocol.settings.items() if key != "carrier"}


def config_of(protocol: PublishedProtocol) -> dict[str, Any]:
    """The resolved config that a protocol's settings make."""
    fields: dict[str, Any] = {}
    for key, wanted in in_config(protocol).items():
        value = first(wanted)
        fields = apply_overrides(fields, [f"{key}={'null' if value is None else value}"])
    return RunConfig.model_validate(fields).resolved()


def test_protocols_name_what_exists() -> None:
    for entry in published_protocols():
        values = published_values(entry.benchmark)
        assert entry.benchmark in LEDGERS
        assert entry.method in METHODS
        for metric in entry.tolerance or dict.fromkeys(values["metric"]):
            assert ((values["method"] == entry.published) & (values["metric"] == metric)).any() or not entry.tolerance, (
                entry,
                metric,
            )
        assert (values["method"] == entry.published).any(), entry.published
    names = [(entry.benchmark, entry.published) for entry in published_protocols()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("protocol", JUDGED, ids=lambda entry: f"{entry.benchmark} {entry.published}")
def test_a_protocol_that_is_judged_names_every_field_of_the_config(protocol: PublishedProtocol) -> None:
    """A field that is added to a config later must be decided here before anything is called reproduced again."""
    resolved = flat(config_of(protocol))
    order = {"benchmark.order"}  # compared with the row's own
    assert {field for field in resolved if not protocol.covers(field)} == order
    assert {key: resolved.get(key, "absent") for key in in_config(protocol)} == {
        k: first(v) for k, v in in_config(protocol).items()
    }


def test_fields_that_a_protocol_names_without_a_verdict_exist() -> None:
    backbones = {"causal-lm": {"name": "causal-lm", "model": "m"}}
    for entry in published_protocols():
        text = entry.benchmark.startswith(("trace", "standard"))
        fields: dict[str, Any] = {"benchmark": entry.benchmark, "method": entry.method}
        resolved = RunConfig.model_validate({**fields, **({"backbone": backbones["causal-lm"]} if text else {})}).resolved()
        named = {key for key in in_config(entry) if not key.startswith("training.per_task.")}  # its keys are names of tasks
        assert named <= set(flat(resolved)), entry.published


def test_the_shipped_example_is_the_published_protocol() -> None:
    example = RunConfig.model_validate(load_yaml(EXAMPLE)).resolved()
    protocol = protocol_of("xtail", "CoDyRA")
    assert protocol is not None
    wanted = {key: first(value) for key, value in in_config(protocol).items()}
    assert {key: value for key, value in flat(example).items() if key in wanted} == wanted


@pytest.fixture
def xtail_run(make_record: Callable[..., Record]) -> Callable[..., Record]:
    """A run of CoDyRA's released settings on xtail whose matrix has the given constant accuracy; dotted fields override the config."""
    released = RunConfig.model_validate(load_yaml(EXAMPLE)).resolved()

    def make(
        accuracy: float, changed: Mapping[str, Any] | None = None, *, setting: Mapping[str, Any] | None = None, **fields: Any
    ) -> Record:
        config = released
        for key, value in (changed or {}).items():
            section, _, name = key.partition(".")
            config = {**config, section: {**config[section], name: value}}
        whole = {"order": "I", "shots": 16, "data": "complete", **(setting or {})}
        return make_record("codyra", rows=[[accuracy] * 3] * 4, config=config, benchmark="xtail", setting=whole, **fields)

    return make


def page(*records: Record) -> pd.DataFrame:
    """The rows of CoDyRA on the project page."""
    frame = reproduction_frame(leaderboard_frame(records, "zscl"), records, ["xtail"])
    return frame[(frame["published method"] == "CoDyRA") & frame["source"].str.contains("index.html")].set_index("metric")


def test_verdicts_compare_with_the_tolerance(xtail_run: Callable[..., Record]) -> None:
    """Published 63.2, 71.3, 79.2 with 1.5 points: a flat 72 lies inside for the average alone."""
    record = xtail_run(72.0)
    rows = page(record)
    assert rows["verdict"].to_dict() == {"zscl.transfer": OUTSIDE, "zscl.average": INSIDE, "zscl.last": OUTSIDE}
    average = rows.loc["zscl.average"]
    assert average["difference"] == pytest.approx(0.7)
    assert (average["own"], average["n"], average["runs"], average["why"]) == (72.0, 1, record.run_id, "")


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"method.kappa_max": 0.0}, {}),
        ({"method.kappa_levels": 20}, {}),
        ({"method.gate_init": "ones"}, {}),
        ({"method.threshold_op": "soft"}, {}),
        ({"method.rank": 8}, {}),
        ({"training.steps": 10}, {}),
        ({"training.lr": 1e-6}, {}),
        ({"training.batch_size": 8}, {}),
        ({"training.micro_batch_size": 8}, {}),
        ({"training.beta2": 0.999}, {}),
        ({"training.precision": "bf16"}, {}),
        ({"training.eval_precision": "auto"}, {}),
        ({"backbone.text_to_image_loss": False}, {}),
        ({"backbone.model": "ViT-L-14-quickgelu"}, {}),
        ({"backbone.pretrained": None}, {}),
        ({"benchmark.image_size": 112}, {}),
        ({"benchmark.prompts": "rail-generic"}, {}),
        ({"benchmark.tasks": ["dtd", "mnist"]}, {"order": "given"}),
        ({}, {"order": "II"}),
        ({}, {"shots": 160}),
        ({}, {"data": "partial"}),
    ],
    ids=str,
)
def test_another_protocol_is_not_attempted_and_what_differs_is_listed(
    changed: dict[str, Any], setting: dict[str, Any], xtail_run: Callable[..., Record]
) -> None:
    rows = page(xtail_run(71.5, changed, setting=setting))
    assert set(rows["verdict"]) == {NOT_ATTEMPTED}
    assert rows["difference"].isna().all()
    for key in (*changed, *setting):
        assert rows["why"].str.contains(f"{key} ", regex=False).all(), rows["why"].tolist()


def test_values_that_mean_the_published_one_are_it(xtail_run: Callable[..., Record]) -> None:
    assert set(page(xtail_run(72.0, {"method.kappa_levels": None}))["why"]) == {""}


def test_workers_that_see_a_part_of_each_batch_are_another_protocol(xtail_run: Callable[..., Record]) -> None:
    assert set(page(xtail_run(71.5, carrier="train"))["why"]) == {"carrier train (published direct)"}


def test_a_field_that_an_old_record_lacks_is_no_published_one(xtail_run: Callable[..., Record]) -> None:
    record = xtail_run(71.5)
    del record.config["training"]["epsilon"]
    assert set(page(record)["why"]) == {"training.epsilon not recorded (published 1e-08)"}


def test_of_equally_near_rows_the_newest_is_judged_and_not_the_one_that_fits_best(xtail_run: Callable[..., Record]) -> None:
    fits = xtail_run(71.5, run_id="fits", settings_hash="x")
    newest = xtail_run(50.0, run_id="newest", settings_hash="y", started_at=datetime(2026, 2, 1, tzinfo=UTC))
    other = xtail_run(
        71.3, {"training.steps": 10}, run_id="other", settings_hash="z", started_at=datetime(2026, 3, 1, tzinfo=UTC)
    )
    for records in ([fits, newest, other], [other, newest, fits]):
        assert set(page(*records)["runs"]) == {"newest"}


def test_a_metric_that_is_in_no_convention_is_recomputed_too(make_record: Callable[..., Record]) -> None:
    """The pages print TreeLoRA's forgetting, which no convention lists, so that no run ever stood beside it."""
    rows = [[10.0, 10.0], [50.0, None], [40.0, 60.0]]
    record = make_record(
        "treelora", rows=rows, tasks=["t1", "t2"], benchmark="trace-500", setting={"order": 1, "scoring": "treelora"}
    )
    record.config["backbone"] = {"name": "causal-lm", "model": "meta-llama/Llama-2-7b-chat-hf"}
    frame = reproduction_frame(own_frame([record]), [record], ["trace-500"])
    near = frame[(frame["published method"] == "TreeLoRA") & frame["own"].notna()]
    assert set(near["metric"]) == {"trace.op", "treelora.forgetting"}
    assert set(near[near["metric"] == "treelora.forgetting"]["own"]) == {5.0}  # ten points lost of one task, over two


@pytest.mark.parametrize(("benchmark", "scoring"), [("trace", "trace"), ("trace-500", "treelora")])
def test_text_scored_by_another_rule_is_named(benchmark: str, scoring: str, make_record: Callable[..., Record]) -> None:
    """The TRACE paper counts raw equality, the sources of the 500-row numbers accept any answer that begins with the target."""
    for rule in ("strict", "trace", "treelora"):
        record = make_record("lora", benchmark=benchmark, setting={"order": 1, "scoring": rule}, scoring=rule)
        record.config["backbone"] = {"name": "causal-lm", "model": "meta-llama/Llama-2-7b-chat-hf"}
        frame = reproduction_frame(leaderboard_frame([record], "trace"), [record], [benchmark])
        near = frame[frame["own"].notna()]
        assert len(near) > 0
        assert set(frame["verdict"]) == {NOT_ATTEMPTED}  # no protocol of these tables is known well enough
        assert near["why"].str.contains(f"scoring {rule} (published {scoring})", regex=False).all() == (rule != scoring)


def test_neither_of_two_cells_that_look_copied_gets_a_verdict(make_record: Callable[..., Record]) -> None:
    """33.73 / 12.36 is printed for HiDeLoRA on one backbone and for O-LoRA on another, on both pages."""
    values = published_values("trace-500")
    doubted = values[values["doubt"] != ""]
    assert set(zip(doubted["backbone"], doubted["method"], strict=True)) == {
        ("LLaMA-3-1B-Instruct", "HiDeLoRA"),
        ("Gemma-2B-it", "O-LoRA"),
    }
    assert set(doubted["value"]) == {33.73, 12.36}
    frame = reproduction_frame(pd.DataFrame(columns=["benchmark", "n"]), [], ["trace-500"])
    assert set(frame[frame["why"].str.contains("copying slip")]["verdict"]) == {NOT_ATTEMPTED}
    assert frame["why"].str.contains("copying slip").sum() == len(doubted) == 8


def test_second_hand_numbers_get_no_verdict_whatever_was_run(
    monkeypatch: pytest.MonkeyPatch, xtail_run: Callable[..., Record]
) -> None:
    monkeypatch.setattr("suite.leaderboard.protocols.PublishedSources.grade", lambda *_: "second-hand")
    rows = page(xtail_run(71.5))
    assert set(rows["verdict"]) == {NOT_ATTEMPTED}
    assert set(rows["why"]) == {"second-hand: no verdict"}


def test_rows_that_no_method_here_stands_for_are_listed_too(xtail_run: Callable[..., Record]) -> None:
    record = xtail_run(72.0)
    frame = reproduction_frame(leaderboard_frame([record], "zscl"), [record], ["xtail"])
    others = frame[frame["published method"] == "LADA"]
    assert set(others["verdict"]) == {NOT_ATTEMPTED}
    assert set(others["why"]) == {"second-hand: no verdict; no method here is the published one"}
    assert others["own"].isna().all()
    assert len(frame) == len(published_values("xtail"))
    assert reproduction_frame(pd.DataFrame(), [], ["unknown"]).empty
    assert np.isfinite(frame["published"]).all()


def test_the_notes_say_why_a_run_got_no_verdict(xtail_run: Callable[..., Record]) -> None:
    record = xtail_run(72.0, {"training.steps": 10, "training.lr": 1e-6})
    frame = reproduction_frame(leaderboard_frame([record], "zscl"), [record], ["xtail"])
    lines = reproduction_notes("xtail", frame)
    said = "training.steps 10 (published 500); training.lr 1e-06 (published 0.0005)."
    assert f"CoDyRA, order I, CLIP ViT-B/16, run {record.run_id}: {said}" in lines
    assert len(lines) == len(set(lines))
