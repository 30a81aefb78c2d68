"""Where real recordings are, and what several tests share."""

import importlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.imports import quick_imports
from tests.support.compiling import lock_caches
from tests.support.paths import COMMAND, DATA, REPOSITORY
from tests.support.prefect_server import harness, make_database


def pytest_configure() -> None:
    lock_caches()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real recordings at {DATA}; set CLEAN_CORPUS_DATA")
    return DATA


# What takes longest begins first: else one worker is left with it at the end. See `make test`.
LONGEST = (
    "test_deployment", "test_ray_engine", "test_interrupted", "test_s3_run", "test_clean_corpus", "test_train_enhancer",
    "test_training_folder", "test_compare_vocoders", "test_app", "test_folder", "test_gpu_loop", "test_measure",
    "test_page", "test_evaluation", "test_long_files", "test_wheel",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Import all tests, and what they need, quickly: it is twenty seconds of a core for each worker."""
    with quick_imports():
        return (yield)


@pytest.fixture
def benchmark(monkeypatch):
    """Import a script of benchmarks/ as those beside it find it."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module


@pytest.fixture(scope="session")
def upper_band_weights(tmp_path_factory):
    """Weights of an untrained network for the band above 8 kHz, with their card."""
    import torch
    from safetensors.torch import save_file

    from clean_corpus.enhancers import table

    path = tmp_path_factory.mktemp("weights") / "upper.safetensors"
    torch.manual_seed(0)
    save_file(table.method("full-band").build().state_dict(), path)
    card = {"name": "upper", "method": "full-band", "sizes": {}, "sample_rate": 48000}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


@pytest.fixture(scope="session")
def home(tmp_path_factory, prefect_database):
    """A home without anything but the empty database of a Prefect server, so that no test meets an earlier run's."""
    folder = tmp_path_factory.mktemp("home")
    prefect_home = folder / ".cache" / "clean-corpus" / "prefect"
    prefect_home.mkdir(parents=True)
    shutil.copy(prefect_database, prefect_home)
    return folder


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory):
    """The database of a new Prefect server, prefect.db, that all workers of the tests share; copy it."""
    own = tmp_path_factory.getbasetemp()
    return make_database((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "prefect.db")


@pytest.fixture(scope="session")
def s3_server():
    """Address of an S3 server of this test session, which every client here talks to."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    about = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    about["AWS_ENDPOINT_URL_S3"] = url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in about.items():
            patch.setenv(name, value)
        yield url
    server.stop()


@pytest.fixture(scope="module")
def client(s3_server, request):
    """A client of that server, and the bucket that the module calls BUCKET."""
    import boto3

    made = boto3.client("s3")
    made.create_bucket(Bucket=request.module.BUCKET)
    return made


@pytest.fixture(scope="module")
def prefect(prefect_database, tmp_path_factory):
    """A Prefect server of this module's own."""
    with harness(prefect_database, tmp_path_factory.mktemp("prefect")):
        yield


@pytest.fixture
def start(home):
    """Start the command as a user would; whatever is left of it at the end of the test is killed."""
    started = []

    def begin(*arguments: object, **environment: str) -> subprocess.Popen:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        process = subprocess.Popen(
            [COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=inherited | {"HOME": str(home)} | environment, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def command(start):
    """Run the command to its end: exit code, and what it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        process = start(*arguments)
        output, _ = process.communicate(timeout=250)
        return process.returncode, output

    return run


@pytest.fixture(scope="session")
def demo_corpus(tmp_path_factory):
    """Twenty-five recordings of the demo corpus."""
    from clean_corpus.pipeline.demo import corpus

    folder = tmp_path_factory.mktemp("corpus")
    corpus.write_corpus(folder, clips=25)
    return folder
