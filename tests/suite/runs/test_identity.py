"""A run is named after what decides its numbers: code that it is made of, bytes of weights and data; nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from suite.config import RunConfig, validate
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from suite.runs import identity, import_closure
from suite.runs.identity import TRAINER, code_hash, run_code, run_id
from suite.runs.import_closure import closure
from trainables.row_zero import row_zero_folder
from trainables.run import RunContext, execute, prepare

LORA_ON_MINI = ("baselines.lora", "suite.backbones.clip", "suite.benchmarks.mini")
OUTSIDE = (
    "suite/cli",
    "suite/leaderboard",
    "suite/tracking",
    "suite/tuning",
    "suite/metrics",
    "suite/measuring",
    "suite/workflows",
    "search_spaces",
    "tests",
)


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    for package in import_closure.PACKAGES:
        shutil.copytree(repository / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def code(root: Path) -> str:
    code_hash.cache_clear()
    import_closure._is_followed.cache_clear()
    return code_hash(LORA_ON_MINI, root)


def test_only_what_lora_on_mini_mtil_is_made_of_names_its_code(checkout: Path, repository: Path) -> None:
    version = code(checkout)
    assert version == code(repository)
    (checkout / "baselines" / "newest.py").write_text("from baselines.lora import Lora\n")
    inside = closure((*TRAINER, *LORA_ON_MINI), checkout)
    assert not [name for name in inside if name.startswith(OUTSIDE)]
    assert {
        "trainables/stream_trainer.py",
        "baselines/lora.py",
        "suite/backbones/pretrain_clip.py",
        "suite/data/drawn_images.py",
    } <= set(inside)
    assert not {"suite/registry.py", "trainables/codyra.py", "baselines/olora.py", "suite/backbones/causal_lm.py"} & set(inside)
    for path in checkout.rglob("*.py"):  # tables, figures, exporters, commands, other methods, the table of names
        if path.relative_to(checkout).as_posix() not in inside:
            path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert code(checkout) == version
    for path in inside.values():
        before = path.read_bytes()
        path.write_bytes(before + b"\n# edited\n")
        assert code(checkout) != version, path
        path.write_bytes(before)


def test_every_own_part_has_a_closure_without_tables_and_other_methods() -> None:
    for table in (METHODS, BENCHMARKS, BACKBONES):
        for entry in table.own.values():
            module = entry.target.partition(":")[0]
            inside = closure((*TRAINER, module))
            assert f"{module.replace('.', '/')}.py" in inside
            assert not [name for name in inside if name.startswith(OUTSIDE)], module
            methods = {name for name in inside if name.startswith("baselines/") or name == "trainables/codyra.py"}
            assert (table is METHODS) == bool(methods - {"baselines/__init__.py"}), module


def test_identity_depends_on_config_data_and_code(
    make_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("lora")
    name = run_id(config, "a")
    assert name == run_id(config, "a")
    assert name != run_id(config, "b")
    assert name != run_id(make_config("lora", seed=1), "a")
    assert run_code(config) != run_code(make_config("olora"))
    monkeypatch.setattr(identity, "run_code", lambda config: "other")
    assert name != run_id(config, "a")


PLUGIN = {
    "outsider/__init__.py": "",
    "outsider/loss.py": "SIGN = 1.0\n",
    "outsider/method.py": """
from typing import Literal

from baselines.lora import Lora, LoraConfig
from outsider.loss import SIGN


class Outsider(Lora):
    def loss(self, step):
        return SIGN * super().loss(step)


class OutsiderConfig(LoraConfig):
    name: Literal["outsider"] = "outsider"

    def build(self):
        return Outsider(self)
""",
    "outsider/benchmark.py": """
from typing import Literal

import numpy as np

from suite.benchmarks.mini import MiniConfig
from suite.benchmarks.stream import ImageTask, LabelSpace, Stream
from suite.data.examples import ImageExamples
from suite.parts import BenchmarkConfig


class StripesConfig(BenchmarkConfig):
    backbone = {"name": "mini-clip"}
    budget = {"steps": 2, "batch_size": 4}
    name: Literal["stripes"] = "stripes"

    def build(self, data_root):
        inverted = (data_root / "inverted").exists()

        def examples(split, count):
            pixels = np.zeros((count, 3, 32, 32), dtype=np.uint8)
            pixels[::2, :, ::2] = pixels[1::2, :, :, ::2] = 255
            labels = np.arange(count) % 2
            return ImageExamples(255 - pixels if inverted else pixels, labels, tuple(f"{split}/{row}" for row in range(count)))

        def task(name):
            parts = (examples(split, 4) for split in ("train", "validation", "test"))
            return ImageTask(name, *parts, ("circle", "square"), ("a {}.",), ("a {}.",))

        return Stream(self.name, [task("one"), task("two")], LabelSpace.TASK, ("zscl.last",))
""",
    "outsider-3.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 3.1\n",
    "outsider-3.1.dist-info/entry_points.txt": (
        "[codyra_suite.methods]\noutsider = outsider.method:OutsiderConfig\n"
        "[codyra_suite.benchmarks]\nstripes = outsider.benchmark:StripesConfig\n"
    ),
}


@pytest.fixture
def plugin(tmp_path: Path, installed: Callable[[dict[str, str]], Path]) -> Path:
    return installed(PLUGIN)


def outsider(**fields: Any) -> RunConfig:
    return validate(RunConfig, {"benchmark": "stripes", "method": "outsider", "training": {"steps": 2}, **fields}, where="test")


def test_a_plug_in_with_a_flipped_loss_is_a_new_run(
    plugin: Path, run_context: RunContext, forgotten: Callable[[], None]
) -> None:
    first = execute(outsider(), run_context)
    assert first.versions["outsider"] == "3.1"
    assert prepare(outsider(), run_context).run_id == first.run_id
    (plugin / "outsider" / "loss.py").write_text("SIGN = -1.0\n")
    forgotten()
    second = execute(outsider(), run_context)
    assert second.run_id != first.run_id
    assert second.code_version != first.code_version
    assert [row.train_loss for row in second.results[1:]] != [row.train_loss for row in first.results[1:]]


def test_a_plug_in_whose_pixels_are_inverted_is_other_data(plugin: Path, run_context: RunContext) -> None:
    before = prepare(outsider(), run_context)
    run_context.data_root.mkdir()
    (run_context.data_root / "inverted").touch()
    after = prepare(outsider(), run_context)
    assert before.stream.fingerprint() != after.stream.fingerprint()
    assert before.run_id != after.run_id


def test_code_in_a_folder_beside_a_plug_in_counts_and_libraries_do_not(plugin: Path, forgotten: Callable[[], None]) -> None:
    (plugin / "outsider" / "more.py").write_text("def late():\n    import besides, fetched, numpy\n")
    (plugin / "besides.py").write_text("X = 1\n")
    installed = plugin / "fetched-1.0.dist-info"  # what 'pip install --target' leaves
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fetched\nVersion: 1.0\n")
    (installed / "RECORD").write_text("fetched.py,,\nfetched-1.0.dist-info/METADATA,,\n")
    (plugin / "fetched.py").write_text("import besides\n")
    forgotten()
    before = run_code(outsider())
    inside = closure(("outsider.method",))
    assert {"outsider/loss.py", "besides.py", "baselines/lora.py"} <= set(inside)
    assert not [name for name in inside if name.startswith(("numpy", "fetched"))]
    (plugin / "besides.py").write_text("X = 2\n")
    forgotten()
    assert run_code(outsider()) != before


def test_data_inside_a_plug_in_counts_and_what_its_use_leaves_there_does_not(
    plugin: Path, forgotten: Callable[[], None]
) -> None:
    """Files without a suffix of code were passed over: a table that the loss reads was exchanged, and the old run shown."""
    versions = []
    for name, text in (
        ("table.json", "1.0"),
        ("table.json", "-1.0"),
        ("deep/weights.bin", "w"),
        ("__pycache__/loss.cpython-311.pyc", "compiled"),
        (".cache/state", "hidden"),
        ("codyra-runs/runs/0123/record.json", "{}"),
        ("mlflow.db", "written beside it"),
    ):
        (plugin / "outsider" / name).parent.mkdir(parents=True, exist_ok=True)
        (plugin / "outsider" / name).write_text(text)
        forgotten()
        versions.append(run_code(outsider()))
    assert len(set(versions[:3])) == 3
    assert set(versions[3:]) == {versions[2]}


@pytest.fixture
def tiny_lm(tmp_path: Path, repository: Path) -> Path:
    folder = tmp_path / "models" / "tiny"
    shutil.copytree(repository / "suite" / "backbones" / "weights" / "mini_lm", folder)
    return folder


def lm_config(model: object) -> RunConfig:
    fields = {"benchmark": "mini-trace", "method": "lora", "backbone": {"name": "causal-lm", "model": str(model)}}
    return validate(RunConfig, fields, where="test")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_replaced_files_of_a_model_are_a_new_run_and_a_new_row_0(file: str, tiny_lm: Path, tmp_path: Path) -> None:
    def names() -> tuple[str, str, Path]:
        config = lm_config(tiny_lm)
        return run_id(config, "data"), config.settings_hash(), row_zero_folder(config, "data", torch.device("cpu"), tmp_path)

    before = names()
    (tiny_lm / "README.md").write_text("nobody loads this")
    assert names() == before
    data = bytearray((tiny_lm / file).read_bytes())
    data[-1] ^= 1
    (tiny_lm / file).write_bytes(data)
    assert not set(names()) & set(before)


def test_spellings_and_copies_of_a_folder_are_one_run(tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_lm.parent)
    shutil.copytree(tiny_lm, tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tiny_lm)
    spellings = (tiny_lm, "./tiny", f"{tiny_lm}/", "../models/tiny", tmp_path / "elsewhere", tmp_path / "link")
    configs = [lm_config(spelling) for spelling in spellings]
    assert len({run_id(config, "data") for config in configs}) == 1
    assert len({config.settings_hash() for config in configs}) == 1


def test_a_weight_file_of_open_clip_is_its_bytes_and_a_tag_its_name(tmp_path: Path) -> None:
    def name(pretrained: object) -> str:
        backbone = {"name": "open-clip", "model": "ViT-B-32", "pretrained": pretrained}
        return run_id(
            validate(RunConfig, {"benchmark": "mini-mtil", "method": "lora", "backbone": backbone}, where="test"), "data"
        )

    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    one.write_bytes(b"weights")
    other.write_bytes(b"weights")
    assert name(str(one)) == name(str(other))
    other.write_bytes(b"weighty")
    assert len({name(spelling) for spelling in (str(one), str(other), "laion2b_s34b_b79k", None)}) == 4


def test_where_the_data_lies_is_no_part_of_a_run(tmp_path: Path) -> None:
    for place in ("root/images/pets", "elsewhere/mine/pets"):
        for split in ("train", "test"):
            for label, colour in (("circle", 60), ("square", 200)):
                folder = tmp_path / place / split / label
                folder.mkdir(parents=True)
                for number in range(3):
                    Image.new("RGB", (32, 32), (colour, number, len(split))).save(folder / f"{number}.png")

    def name(folder: str, root: str) -> str:
        benchmark = {"name": "image-folders", "folder": folder}
        config = validate(RunConfig, {"benchmark": benchmark, "method": "zero-shot"}, where="test")
        return prepare(config, RunContext(tmp_path / "out", tmp_path / root, "cpu")).run_id

    spellings = [("images", "root"), ("./images/", "root"), (str(tmp_path / "root" / "images"), "x"), ("mine", "elsewhere")]
    names = {name(*spelling) for spelling in spellings}
    assert len(names) == 1
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "root" / "images" / "pets" / "test" / "circle" / "0.png")
    assert name("images", "root") not in names


@pytest.fixture
def fresh() -> Iterator[None]:
    yield
