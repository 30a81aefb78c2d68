"""The wheel holds every file of the rooms below clean_corpus, and works in an environment that sees no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.infra.files import program
from tests.support.paths import REPOSITORY

ROOMS = ("enhancers", "flows", "pipeline", "vocoder")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that has to succeed, without the variables that let Python see the checkout; return its output."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment | {"HOME": str(cwd)}, timeout=250,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of what a package is built from, its symbolic links included."""
    folder = tmp_path_factory.mktemp("sources")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", *ROOMS):
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=unwanted)
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture(scope="module")
def built(sources, tmp_path_factory) -> Path:
    """The folder with the source archive and the wheel, made as `make wheel` makes them."""
    folder = tmp_path_factory.mktemp("built")
    uv = program("uv")
    run(uv, "build", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, cwd=sources)
    return folder


def files_of_rooms(sources: Path) -> set[str]:
    """All files but the state of unfinished trainings, which continues in a checkout alone."""
    paths = (path for room in ROOMS for path in (sources / room).rglob("*"))
    files = {path.relative_to(sources) for path in paths if path.is_file() and path.parent.name != "in_training"}
    return {f"clean_corpus/{path}" for path in files} | {"clean_corpus/__init__.py"}


def test_the_wheel_holds_the_files_of_the_rooms_and_no_other_package(built, sources):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == files_of_rooms(sources)


def test_the_source_archive_holds_the_files_of_the_rooms(built, sources):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        names = {name.partition("/src/")[2] for name in members.getnames() if members.getmember(name).isfile()}
    assert names >= files_of_rooms(sources)


def test_sources_that_lost_their_symbolic_links_are_refused(sources, tmp_path):
    shutil.copytree(sources, tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns("*.safetensors"))
    link = tmp_path / "copy" / "src" / "clean_corpus" / "pipeline"
    target = link.readlink()
    link.unlink()
    link.write_text(str(target))  # what Python's zipfile makes of a link
    result = subprocess.run(
        [sys.executable, "setup.py", "--name"], cwd=tmp_path / "copy", capture_output=True, text=True
    )
    assert result.returncode != 0 and "no folder pipeline" in result.stderr and "symbolic links" in result.stderr


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The programs of a new environment with the wheel; what the wheel depends on is borrowed from this one."""
    folder, uv = tmp_path_factory.mktemp("installed"), program("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(uv, "pip", "install", "--offline", "--no-deps", "--python", python, *built.glob("*.whl"), cwd=folder)
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # A folder that a .pth file adds is searched last, and its own .pth files, the editable install's too, are not read.
    Path(site_packages, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_the_installed_wheel_runs_the_demo(installed, tmp_path):
    where = run(installed / "python", "-c", "import clean_corpus.pipeline as p; print(p.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")
    run(installed / "clean-corpus", "demo", "corpus", "--clips", "21", cwd=tmp_path)
    run(installed / "clean-corpus", "run", "corpus/amelia", "out", "--workers", "1", cwd=tmp_path)  # three of the 21
    clips = pq.read_table(tmp_path / "out" / "ledger.parquet").to_pylist()
    assert {clip["source"] for clip in clips} == {"amelia-000.wav", "amelia-011.wav", "amelia-reading.flac"}
    assert {clip["verdict"] for clip in clips} == {"kept", "rejected"}
    assert (tmp_path / "out" / "report" / "index.html").is_file()
    for folder in ("shards", "rejected"):
        assert list((tmp_path / "out" / folder).glob("*.tar")), folder
