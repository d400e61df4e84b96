"""trace, trace-500, standard-cl and text-folders: layout, orders, rules and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite.benchmarks.standard_cl import StandardCLConfig
from suite.benchmarks.stream import LabelSpace
from suite.benchmarks.text_folders import TextFoldersConfig
from suite.benchmarks.trace import Trace500Config, TraceConfig
from suite.config import RunConfig, validate
from suite.errors import ConfigError, DataError
from suite.metrics.conventions import metric
from suite.runs.record import setting_text
from trainables.task_facts import data_facts

TRACE = ("C-STANCE", "FOMC", "MeetingBank", "Py150", "ScienceQA", "NumGLUE-cm", "NumGLUE-ds", "20Minuten")
METRICS = ("accuracy", "accuracy", "rouge-l", "similarity", "letter", "accuracy", "accuracy", "sari")


def write_task(folder: Path, **splits: list[str]) -> None:
    folder.mkdir(parents=True)
    for split, names in splits.items():
        rows = [{"prompt": f"{split} {name}?", "answer": name} for name in names]
        (folder / f"{split}.json").write_text(json.dumps(rows))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with all TRACE tasks in the release's folder and the four standard ones beside them."""
    for name in (*TRACE, "dbpedia", "amazon", "yahoo", "agnews"):
        write_task(tmp_path / "LLM-CL-Benchmark_500" / name, train=["a", "b"], eval=["c"], test=["d"])
    return tmp_path


def test_canonical_order_metrics_and_epochs(root: Path) -> None:
    stream = Trace500Config().build(root)
    assert stream.task_names == TRACE
    assert tuple(task.metric for task in stream.tasks) == METRICS  # type: ignore[union-attr]
    assert [task.epochs for task in stream.tasks] == [5, 3, 7, 5, 3, 5, 5, 7]  # type: ignore[union-attr]
    assert (stream.protocol, stream.scoring) == (LabelSpace.GENERATION, "strict")
    assert stream.setting == {"order": 1, "scoring": "strict"}
    assert all(metric(name) for name in stream.metrics)


def test_second_order_is_that_of_the_papers_ablation(root: Path) -> None:
    names = Trace500Config(order=2).build(root).task_names
    assert names == ("NumGLUE-cm", "NumGLUE-ds", "FOMC", "20Minuten", "C-STANCE", "Py150", "MeetingBank", "ScienceQA")


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (1, "dbpedia amazon yahoo agnews"),
        (2, "dbpedia amazon agnews yahoo"),
        (3, "yahoo amazon agnews dbpedia"),
    ],
)
def test_standard_orders(order: Any, names: str, root: Path) -> None:
    assert " ".join(StandardCLConfig(order=order).build(root).task_names) == names


def test_folder_is_a_field_and_tasks_may_lie_in_the_root_itself(root: Path) -> None:
    (root / "LLM-CL-Benchmark_500").rename(root / "mine")
    assert Trace500Config(folder="mine").build(root).fingerprint() == Trace500Config().build(root / "mine").fingerprint()


def test_named_tasks_in_the_given_order(root: Path) -> None:
    stream = Trace500Config(tasks=("20Minuten", "FOMC")).build(root)
    assert stream.task_names == ("20Minuten", "FOMC")
    assert stream.setting["order"] == "given"
    with pytest.raises(ConfigError, match=r"benchmark\.tasks: 'fomc' is not a task of this benchmark; .*nearest: 'FOMC'"):
        Trace500Config(tasks=("fomc",)).build(root)


def test_release_setting_generates_512_tokens_for_every_task(root: Path) -> None:
    tasks = Trace500Config(max_new_tokens=512).build(root).tasks
    assert {task.max_new_tokens for task in tasks} == {512}  # type: ignore[union-attr]


def test_convention_changes_fingerprint_and_metrics(root: Path) -> None:
    streams = [Trace500Config(scoring=name).build(root) for name in ("strict", "trace", "treelora")]  # type: ignore[arg-type]
    assert len({stream.fingerprint() for stream in streams}) == 3
    assert streams[2].metrics[1] == "treelora.bwt"


def test_what_was_dropped_stands_in_setting_and_record(root: Path) -> None:
    folder = root / "LLM-CL-Benchmark_500" / "FOMC"
    rows = json.loads((folder / "test.json").read_text())
    (folder / "eval.json").write_text(json.dumps(rows))
    stream = Trace500Config().build(root)
    note = "1 validation row dropped that test or train also has, 1 validation row held out of train"
    assert stream.setting["splits"] == {"FOMC": note}
    assert setting_text(stream.setting) == f"order 1, scoring strict, splits (FOMC: {note})"
    assert f"FOMC: {note}" in data_facts(stream.tasks[stream.task_names.index("FOMC")])["notes"]


def test_all_missing_task_folders_are_named_at_once(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"^trace: 8 of 8 tasks cannot be read .C-STANCE, .*: .*no folder 'C-STANCE'.*no folder '20Minuten'"
    ):
        TraceConfig().build(root)
    (root / "news").mkdir()
    with pytest.raises(ConfigError, match=r"benchmark.metrics: 'letters', 'sums': none is a known task folder"):
        TextFoldersConfig(metrics={"news": "sari", "letters": "letter", "sums": "accuracy"}).build(root)


def test_missing_test_file_is_named(root: Path) -> None:
    (root / "LLM-CL-Benchmark_500" / "Py150" / "test.json").unlink()
    with pytest.raises(DataError, match=r"Py150: has no test\.json"):
        Trace500Config().build(root)


def test_own_folders_with_a_metric_each(tmp_path: Path) -> None:
    for name in ("capitals", "jokes"):
        write_task(tmp_path / "mine" / name, train=["a", "b", "c"], test=["d"])
    config = TextFoldersConfig(folder="mine", metrics={"jokes": "rouge-l", "capitals": "accuracy"}, epochs=2, answer_tokens=9)
    stream = config.build(tmp_path)
    assert stream.task_names == ("jokes", "capitals")
    assert [(task.metric, task.epochs, task.max_new_tokens) for task in stream.tasks] == [  # type: ignore[union-attr]
        ("rouge-l", 2, 9), ("accuracy", 2, 9)
    ]  # fmt: skip
    assert len(stream.tasks[0].validation) == 1


def test_own_folders_that_are_not_there(tmp_path: Path) -> None:
    write_task(tmp_path / "capitals", train=["a", "b"], test=["d"])
    with pytest.raises(ConfigError, match="'captals' is not a task folder below .*nearest: 'capitals'"):
        TextFoldersConfig(metrics={"captals": "accuracy"}).build(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        TextFoldersConfig(folder="absent", metrics={"a": "accuracy"}).build(tmp_path)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "text-folders"}, "benchmark.metrics: is missing"),
        ({"name": "text-folders", "metrics": {}}, "benchmark.metrics: "),
        ({"name": "text-folders", "metrics": {"a": "bleu"}}, "benchmark.metrics.a: "),
        ({"name": "trace", "order": 3}, "benchmark.order: "),
        ({"name": "trace", "scoring": "lenient"}, "benchmark.scoring: "),
        ({"name": "standard-cl", "max_new_tokens": 0}, "benchmark.max_new_tokens: "),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(RunConfig, {"benchmark": fields, "method": "lora"}, where="run.yaml")
    assert str(caught.value).startswith(f"run.yaml: {expected}")


@pytest.mark.parametrize("name", ["trace", "trace-500", "standard-cl"])
def test_default_budget_is_the_releases(name: str) -> None:
    config = validate(RunConfig, {"benchmark": name, "method": "lora"}, where="here")
    training = config.training
    assert (training.lr, training.schedule, training.batch_size) == (1e-4, "constant", 32)
    assert (training.beta1, training.beta2, training.weight_decay, training.clip_norm) == (0.9, 0.95, 0.0, 1.0)
    assert training.steps is training.epochs is None  # each task's own epochs
    assert config.backbone.max_prompt_tokens == 1024  # type: ignore[attr-defined]


@pytest.mark.real_data
def test_real_slices_need_no_rule(real_data: Callable[[str], Path]) -> None:
    trace = TraceConfig(folder="trace_real").build(real_data("trace_real").parent)
    standard = StandardCLConfig().build(real_data("standard_cl_real"))
    assert "splits" not in trace.setting
    assert "splits" not in standard.setting
    assert [len(task.train) for task in trace.tasks] == [60, 60, 45, 60, 60, 40, 60, 60]
    assert [len(task.test) for task in standard.tasks] == [40] * 4
