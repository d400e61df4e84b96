"""The commands as a user types them: output, exit codes, one line for a mistake, nothing half-written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from suite.cli.main import main
from suite.errors import ConfigError
from suite.registration import Registry
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from suite.runs.record import read_record
from suite.workflows.comparing import _failures
from suite.workflows.configs import comparison, run_config, settings_for
from trainables.codyra import CodyraConfig

Cli = Callable[..., tuple[int, str, str]]
QUICK = ["--set", "benchmark.domains=[shapes, faces, digits]", "--set", "benchmark.shots=4"]
QUICK += ["--set", "training.steps=8", "--set", "training.batch_size=8"]
HEAVY = ("torch", "ray", "mlflow", "optuna", "transformers", "open_clip", "matplotlib", "pandas")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``code, out, err = cli("run", ...)`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["codyra-suite", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, suite.cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_help_text_has_two_examples(cli: Cli) -> None:
    _, top, _ = cli("--help")
    commands = [
        ["run"],
        ["compare"],
        ["sweep"],
        ["leaderboard"],
        ["demo"],
        ["repeat"],
        ["export"],
        ["pretrain-mini"],
        ["ranks"],
        ["significance"],
    ]
    commands += [["list", name] for name in ("methods", "benchmarks", "spaces", "placements", "metrics", "backbones")]
    commands += [["dev", "perf", name] for name in ("step", "startup", "demo")]
    for command in commands:
        assert command[0] in top
        code, out, _ = cli(*command, "--help")
        assert code == 0
        assert out.count("codyra-suite " + " ".join(command)) >= 2, command


def test_run_prints_matrix_metrics_and_place_and_can_be_fed_back(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("run", "mini-mtil", "--method", "lora", "--tracking", "none", *QUICK)
    assert (code, err) == (0, "")
    assert "shapes" in out
    assert "zscl.last" in out
    (folder,) = (tmp_path / "codyra-runs" / "runs").iterdir()
    again, text, _ = cli("run", str(folder / "config.yaml"), "--tracking", "none")
    assert again == 0
    assert len(list((tmp_path / "codyra-runs" / "runs").iterdir())) == 1
    assert read_record(folder).status == "finished"
    assert text.splitlines()[-1] == out.splitlines()[-1]


def test_a_stream_of_one_task_is_a_run_like_any_other(cli: Cli, tmp_path: Path) -> None:
    """The usual first try with one's own folder has one task; transfer and forgetting need two."""
    one = [
        "--set",
        "benchmark.domains=[shapes]",
        "--set",
        "benchmark.shots=4",
        "--set",
        "training.steps=2",
        "--set",
        "training.batch_size=8",
    ]
    code, out, err = cli("run", "mini-mtil", "--method", "lora", *one)
    assert (code, err) == (0, "")
    assert re.search(r"zscl\.transfer -, zscl\.average \d+\.\d, zscl\.last \d+\.\d, codyra\.forgetting -, gem\.bwt -", out)
    assert (
        "undefined: zscl.transfer, codyra.forgetting, gem.bwt (the stream has 1 task, but the metric is defined from 2 tasks on)"
        in out
    )
    for source in ([], ["--tracking", "none"]):
        code, out, err = cli("leaderboard", *source)
        assert code == 0, err
        assert "undefined for these tasks: zscl.transfer, codyra.forgetting, gem.bwt" in out
        assert re.search(r"^lora +- +\d+\.\d +\d+\.\d +- +- +1 ", out, flags=re.MULTILINE)
    code, _, err = cli("report", "--tracking", "none")
    assert code == 0, err
    assert "undefined for these tasks: zscl.transfer" in (tmp_path / "report.html").read_text()


def test_repeat_agrees_and_export_answers_the_same(cli: Cli, tmp_path: Path) -> None:
    cli("run", "mini-mtil", "--method", "codyra", "--tracking", "none", "--set", "method.kappa_levels=3", *QUICK)
    (folder,) = (tmp_path / "codyra-runs" / "runs").iterdir()
    code, out, _ = cli("repeat", folder.name[:6])
    assert code == 0
    assert "agrees: 0 of" in out
    code, out, _ = cli("export", folder.name, "--format", "open_clip", "--to", str(tmp_path / "exported"))
    assert code == 0
    assert "0 of" in out
    assert (tmp_path / "exported" / folder.name / "open_clip_model.safetensors").is_file()


@pytest.mark.parametrize("between", ["carry", "stack"])
def test_unmerged_methods_export_too(between: str, cli: Cli, tmp_path: Path) -> None:
    cli("run", "mini-mtil", "--method", "lora", "--tracking", "none", "--set", f"method.between={between}", *QUICK)
    (folder,) = (tmp_path / "codyra-runs" / "runs").iterdir()
    code, out, _ = cli("export", folder.name, "--to", str(tmp_path / "exported"))
    assert (code, "0 of" in out) == (0, True)


BAD = [
    (["run", "mini-mitl"], "'mini-mitl' is not a benchmark.*nearest: 'mini-mtil'"),
    (["run", "mini-mtil", "--method", "codira"], "nearest: 'codyra'"),
    (["run", "mini-mtil", "--set", "method.rnak=3"], "method.rnak: unknown key"),
    (["run", "mini-mtil", "--set", "method.rank=0"], "method.rank"),
    (["run", "nothing.yaml"], "no such file"),
    (["run", "mini-mtil", "--device", "cuda"], "no usable GPU"),
    (["run", "mini-mtil", "--device", "warp"], "is not a device"),
    (["run", "mini-mtil", "--device", "meta"], "'meta' is not a device"),
    (["run", "mini-mtil", "--device", "mps"], "'mps' is not a device"),
    (["run", "mini-mtil", "--set", "benchmark.domains=[shapse]"], "nearest: 'shapes'"),
    (
        ["run", "mini-mtil", "--set", "training.steps=20", "--set", "method.kappa_levels=50", "--tracking", "none"],
        "leave no room for 50 threshold levels",
    ),
    (["run", "mini-mtil", "--set", "method.placement=qkvo@7-9", "--set", "training.steps=120"], "names no layer"),
    (["run", "image-folders"], "data: is not a folder"),
    (["compare", "--seeds", "2-0"], "is not a seed or a range"),
    (["compare", "-b", "mini-mitl"], "nearest: 'mini-mtil'"),
    (["compare", "-m", "lora", "-m", "codyra", "--set", "codyra.kappa_levels=0"], r"codyra\.kappa_levels: (?!.*method\.)"),
    (["sweep", "none.yaml"], "no such file"),
    (["leaderboard"], "MLflow holds no run"),
    (["leaderboard", "--method", "x"], "MLflow holds no run"),
    (["repeat", "0000"], "no such run"),
    (["export", "0000"], "no such run"),
    (["export", "/tmp/0000"], "run '/tmp/0000': no such run"),
    (["list", "methods", "codira"], "nearest: 'codyra'"),
    (["list", "metrics", "zscl.lost"], "nearest: 'zscl.last'"),
    (["pretrain-mini", "--which", "vit"], "is not a mini network"),
    (["pretrain-mini", "--out", "/dev/null/weights"], "cannot hold results"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_a_mistake_is_one_line_and_leaves_nothing(arguments: list[str], message: str, cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli(*arguments)
    assert code == 2
    assert out == ""
    assert re.search(message, err), err
    assert err.startswith("codyra-suite ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert list(tmp_path.rglob("record.json")) == []


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_place_that_takes_no_run_is_named(out: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    code, text, err = cli("run", "mini-mtil", "--method", "lora", "--tracking", "none", "--out", out, *QUICK)
    assert (code, text, err.count("\n")) == (2, "", 1)
    assert re.search(
        r"codyra-suite run: file.*: cannot hold results \(Not a directory\); name a folder that you may write", err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_ctrl_c_says_what_is_kept(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainables.run.execute", interrupt)
    code, _, err = cli("run", "mini-mtil", "--method", "lora", "--tracking", "none", *QUICK)
    assert (code, err.strip()) == (
        130,
        "codyra-suite: interrupted; what was finished is kept, and the same command goes on from there ('sweep' and 'tune': with --resume, once a "
        "run has begun).",
    )


def test_an_interrupted_pretraining_says_that_it_begins_anew(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("suite.backbones.pretrain_clip.pretrain_mini_clip", interrupt)
    code, _, err = cli("pretrain-mini", "--which", "clip")
    assert (code, err.strip().splitlines()[-1]) == (
        130,
        "codyra-suite: interrupted; a network that was not finished leaves nothing, and the same command begins anew.",
    )


def test_unknown_option_and_command_are_usage_errors(cli: Cli) -> None:
    assert cli("run", "mini-mtil", "--metod", "lora")[0] == 2
    assert cli("rnu")[0] == 2


def test_lists_show_what_there_is(cli: Cli) -> None:
    assert "codyra" in cli("list", "methods")[1]
    assert "kappa_max" in cli("list", "methods", "codyra")[1]
    assert "method.kappa_max" in cli("list", "spaces", "codyra-quick")[1]
    assert "cmlp" not in cli("list", "placements")[1]
    assert "qkvoinout" in cli("list", "placements")[1]
    assert "384 x 96" in cli("list", "placements", "--model", "mini-clip")[1]
    assert "zscl.transfer" in cli("list", "metrics")[1]


@pytest.mark.parametrize("registry", [METHODS, BENCHMARKS, BACKBONES], ids=["methods", "benchmarks", "backbones"])
def test_types_and_ranges_read_as_words(registry: Registry, cli: Cli) -> None:
    for name in registry:
        text = cli("list", f"{registry.kind}s", name)[1]
        assert not re.search("FieldInfo|Annotated|Optional|Literal|NoneType", text), name
    assert "float, above 0 or null" in cli("list", "methods", "lora")[1]


def test_settings_of_one_method_reach_it_alone() -> None:
    given = ["codyra.rank=8", "training.steps=120"]
    assert settings_for("codyra", given) == ["method.rank=8", "training.steps=120"]
    assert settings_for("lora", given) == ["training.steps=120"]
    with pytest.raises(ConfigError, match=r"^codyra.rank=8: codyra is not compared, lora, replay are; name it too or leave"):
        comparison(["mini-mtil"], ["lora", "replay"], [0], given)
    # what is advised is the key that works here, whichever method is said to have failed
    failed = [{"benchmark": {"name": "mini-mtil"}, "method": {"name": name}, "seed": 1} for name in ("codyra", "lora", "olora")]
    advice = "set method.kappa_levels=15 or training.steps=100, or use a smaller method.dense_fraction."
    # a reason that several runs share is said once
    assert _failures([(failed[0], advice), (failed[1], "no weights."), (failed[2], "no weights.")]) == [
        "mini-mtil codyra seed 1: set codyra.kappa_levels=15 or training.steps=100, or use a smaller codyra.dense_fraction.",
        "mini-mtil lora seed 1, mini-mtil olora seed 1: no weights.",
    ]


@pytest.mark.parametrize("benchmark", ["mini-mtil", "mini-xtail", "mini-trace"])
def test_codyra_fits_the_budget_of_every_embedded_benchmark(benchmark: str) -> None:
    config = run_config(benchmark, method="codyra", seed=None, settings=[])
    assert isinstance(config.method, CodyraConfig)
    config.method.build().check_budget(["t"], [config.training.steps or 0])
