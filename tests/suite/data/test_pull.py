"""Pulling without network: local archives, a local server that breaks off, checksums, harmful archives, honest errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from suite.data import image_facts
from suite.data.fetch import Unreachable, fetch
from suite.data.image_facts import download_facts, stream_facts
from suite.data.pull import Pulled, Wanted, pull, wanted_sets
from suite.data.readers_coop import SPLIT_FILES, read_coop
from suite.data.readers_torchvision import read_torchvision
from suite.data.unpack import unpack
from suite.errors import ConfigError, DataError

CONTENT = bytes(range(256)) * 20000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Breaking(BaseHTTPRequestHandler):
    """Serves CONTENT, but breaks the first answer off in the middle; honours Range afterwards."""

    asked: list[str | None]

    def __init__(self, asked: list[str | None], *arguments: Any) -> None:
        self.asked = asked
        super().__init__(*arguments)

    def do_GET(self) -> None:
        ranged = self.headers.get("Range")
        self.asked.append(ranged)
        first = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged else 0
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        self.wfile.write(CONTENT[first:] if ranged else CONTENT[: len(CONTENT) // 2])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    asked: list[str | None] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Breaking, asked)) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/file.bin", asked
        listening.shutdown()


def test_broken_download_goes_on_where_it_stopped(tmp_path: Path, server: tuple[str, list[str | None]]) -> None:
    url, asked = server
    target = tmp_path / "file.bin"
    with pytest.raises(Unreachable, match=r"ended after \d+ of 5120000 bytes|IncompleteRead"):
        fetch([url], MD5, target)
    assert not target.exists()
    seen: list[tuple[int, int | None]] = []
    fetch([url], MD5, target, progress=lambda there, total: seen.append((there, total)))
    assert target.read_bytes() == CONTENT
    assert asked[0] is None
    assert asked[1] == f"bytes={len(CONTENT) // 2}-"
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_wrong_checksum_is_refused_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "source.bin").write_bytes(b"something else")
    url = (tmp_path / "source.bin").as_uri()
    with pytest.raises(DataError, match=f"has md5 [0-9a-f]+ instead of {MD5}, so it is not the published file"):
        fetch([url], MD5, tmp_path / "out" / "file.bin")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "out" / "file.bin").write_bytes(b"put there by hand")
    with pytest.raises(DataError, match=r"out/file\.bin: has md5"):
        fetch([url], MD5, tmp_path / "out" / "file.bin")


def test_second_address_is_tried_and_all_failures_are_named(tmp_path: Path) -> None:
    (tmp_path / "source.bin").write_bytes(CONTENT)
    urls = [(tmp_path / "gone.bin").as_uri(), (tmp_path / "source.bin").as_uri()]
    fetch(urls, MD5, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    with pytest.raises(Unreachable, match=r"no address answers: file://.*gone\.bin .*save it as .*other\.bin"):
        fetch(urls[:1], MD5, tmp_path / "other.bin")


def tar_with(path: Path, members: dict[str, bytes], link: tuple[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(info)
    return path


def zip_with(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil.txt", "good/../../evil.txt"])
def test_archives_cannot_write_outside(tmp_path: Path, name: str) -> None:
    into = tmp_path / "root" / "set"
    for kind, archive in (
        ("tar", tar_with(tmp_path / "a.tar.gz", {"fine.txt": b"x", name: b"y"})),
        ("zip", zip_with(tmp_path / "a.zip", {"fine.txt": b"x", name: b"y"})),
    ):
        with pytest.raises(DataError, match=r"a\.(tar\.gz|zip): refused, because .*do not use this archive"):
            unpack(archive, kind, into)
        assert list(into.iterdir()) == []
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_that_lead_outside_are_refused(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "a.tar.gz", {"fine.txt": b"x"}, link=("away", "../../etc"))
    with pytest.raises(DataError, match="refused"):
        unpack(archive, "tar", tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("kind", ["tar", "zip", "gzip"])
def test_broken_archives_leave_nothing(tmp_path: Path, kind: str) -> None:
    whole = {
        "tar": tar_with(tmp_path / "w.tar.gz", {"a/b.txt": CONTENT}),
        "zip": zip_with(tmp_path / "w.zip", {"a/b.txt": CONTENT}),
        "gzip": tmp_path / "w.gz",
    }
    whole["gzip"].write_bytes(gzip.compress(CONTENT))
    broken = tmp_path / f"broken.{kind}"
    broken.write_bytes(whole[kind].read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(broken, kind, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []
    unpack(whole[kind], kind, tmp_path / "into")
    found = [file for file in (tmp_path / "into").rglob("*") if file.is_file()]
    assert [file.read_bytes() for file in found] == [CONTENT]


def pack(folder: Path, archive: Path, name: str) -> None:
    """``folder`` as a tar or zip archive whose members start with ``name``."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as bundle:
            for file in sorted(folder.rglob("*")):
                bundle.write(file, f"{name}/{file.relative_to(folder)}")
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, name)


@pytest.fixture
def mirror(torchvision_root: Path, coop_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tree's sets as the publishers pack them, and download facts with these archives' checksums."""
    folder, root = tmp_path / "mirror", torchvision_root
    pack(root / "fgvc-aircraft-2013b", folder / "fgvc-aircraft-2013b.tar.gz", "fgvc-aircraft-2013b")
    pack(root / "caltech101" / "101_ObjectCategories", tmp_path / "c" / "101_ObjectCategories.tar.gz", "101_ObjectCategories")
    pack(tmp_path / "c", folder / "caltech-101.zip", "caltech-101")
    pack(root / "dtd" / "dtd", folder / "dtd-r1.0.1.tar.gz", "dtd")
    pack(root / "eurosat" / "2750", folder / "EuroSAT.zip", "2750")
    pack(root / "flowers-102" / "jpg", folder / "102flowers.tgz", "jpg")
    for name in ("imagelabels.mat", "setid.mat"):
        shutil.copy(root / "flowers-102" / name, folder / name)
    pack(root / "food-101", folder / "food-101.tar.gz", "food-101")
    for file in (root / "MNIST" / "raw").iterdir():
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    for name in ("images", "annotations"):
        pack(root / "oxford-iiit-pet" / name, folder / f"{name}.tar.gz", name)
    for name in ("cars_train", "cars_test"):
        pack(root / "stanford_cars" / name, folder / f"{name}.tgz", name)
    pack(root / "stanford_cars" / "devkit", folder / "car_devkit.tgz", "devkit")
    shutil.copy(root / "stanford_cars" / "cars_test_annos_withlabels.mat", folder)
    pack(root / "SUN397", folder / "SUN397.tar.gz", "SUN397")
    for split in coop_root.rglob("split_zhou_*.json"):
        shutil.copy(split, folder)
    sets = {
        name: [{**file, "md5": hashlib.md5((folder / file["file"]).read_bytes()).hexdigest()} for file in files]
        for name, files in download_facts()["sets"].items()
        if name != "cifar100"
    }
    facts = {**download_facts(), "sets": {**sets, "cifar100": download_facts()["sets"]["cifar100"]}}
    original = image_facts._read
    monkeypatch.setattr(image_facts, "_read", lambda name: facts if name == "downloads" else original(name))
    return folder.as_uri()


def test_all_sets_come_from_a_mirror_in_a_layout_that_loads(mirror: str, tmp_path: Path, torchvision_root: Path) -> None:
    root = tmp_path / "root"
    for wanted in wanted_sets(["mtil"]):
        if wanted.name == "cifar100":
            continue
        assert pull(wanted, root, mirror) == Pulled(wanted.name, "loaded")
        assert read_torchvision(root, wanted.name).test.ids == read_torchvision(torchvision_root, wanted.name).test.ids
        assert pull(wanted, root, "file:///nowhere") == Pulled(wanted.name, "there")
    assert not list(root.rglob(".unpacking-*"))


def test_xtail_takes_split_files_from_the_mirror(mirror: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    results = [pull(wanted, root, mirror) for wanted in wanted_sets(["xtail"])]
    assert {result.state for result in results} == {"loaded"}
    assert len(results) == 10


def test_split_file_that_is_missing_is_asked_for_with_its_page(torchvision_root: Path, tmp_path: Path) -> None:
    shutil.copytree(torchvision_root / "dtd", tmp_path / "dtd")
    result = pull(Wanted("dtd", "dtd"), tmp_path)
    assert result.state == "missing"
    assert "https://drive.google.com/file/d/1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x" in result.note
    assert str(tmp_path / "dtd" / "dtd" / "split_zhou_DescribableTextures.json") in result.note


def test_coop_layout_is_enough_for_xtail(coop_root: Path) -> None:
    results = [pull(wanted, coop_root, "file:///nowhere") for wanted in wanted_sets(["xtail"])]
    assert {result.state for result in results} == {"there"}


def test_both_readings_are_complete_before_a_shared_set_is_there(coop_root: Path, tmp_path: Path) -> None:
    """X-TAIL needs no labels of dtd, MTIL does."""
    shutil.copytree(coop_root / "dtd", tmp_path / "dtd")
    shutil.rmtree(tmp_path / "dtd" / "labels")
    (xtail,) = (each for each in wanted_sets(["xtail"]) if each.name == "dtd")
    assert pull(xtail, tmp_path, "file:///nowhere") == Pulled("dtd", "there")
    for names in (["dtd"], ["mtil", "xtail"], ["xtail", "mtil-5shot"]):
        (both,) = (each for each in wanted_sets(names) if each.name == "dtd")
        assert pull(both, tmp_path, "file:///nowhere").state == "missing"


@pytest.mark.parametrize("name", list(SPLIT_FILES))
def test_the_pull_that_an_error_names_says_what_is_missing(name: str, torchvision_root: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_coop(torchvision_root, name)
    named = re.search(r"codyra-suite data pull (\w+)", str(caught.value))
    assert named is not None
    (result,) = (pull(wanted, torchvision_root, "file:///nowhere") for wanted in wanted_sets([named[1]]))
    assert result.state == "missing"
    assert SPLIT_FILES[name].file in result.note


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(DataError, match=r"root.*: cannot be written \(Not a directory\); name another folder"):
        pull(Wanted("eurosat"), tmp_path / "root", "file:///nowhere")


def test_nothing_is_reached_and_nothing_is_left(tmp_path: Path) -> None:
    result = pull(Wanted("eurosat"), tmp_path / "root", "file:///nowhere")
    assert result.state == "missing"
    assert "EuroSAT.zip: no address answers: file:///nowhere/EuroSAT.zip" in result.note
    assert not (tmp_path / "root" / "eurosat").exists()


def test_names(trees: ModuleType) -> None:
    assert len(wanted_sets(["mtil-5shot"])) == 11
    assert wanted_sets(["oxford_flowers"]) == [Wanted("flowers", "oxford_flowers")]
    assert wanted_sets(["flowers"]) == [Wanted("flowers")]
    assert wanted_sets(["flowers", "oxford_flowers"]) == [Wanted("flowers", "oxford_flowers", both=True)]
    assert wanted_sets(["dtd", "dtd"]) == [Wanted("dtd", "dtd", both=True)]
    assert len(wanted_sets(["mtil", "xtail"])) == 11
    with pytest.raises(ConfigError, match=r"'dtdd' is not a data set that can be pulled.*nearest: 'dtd'"):
        wanted_sets(["dtdd"])
    with pytest.raises(ConfigError, match=r"'mtil-7shot' is not a data set that can be pulled"):
        wanted_sets(["mtil-7shot"])


def test_every_download_has_a_checksum() -> None:
    facts = download_facts()
    assert set(facts["sets"]) == set(stream_facts("mtil")["sets"])
    for files in facts["sets"].values():
        for file in files:
            assert len(file["md5"]) == 32
            assert all(url.endswith(file["file"]) for url in file["urls"])
