"""Nothing calls home: whole commands are watched for look-ups and connections, and for files they leave in the home."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.telemetry import FORCED
from tests.support.connections import Connections
from tests.support.paths import COMMAND
from tests.support.signals import speech

SENDS = """
import onnxruntime as o, onnx.helper as h, time
graph = h.make_graph([h.make_node("Relu", ["x"], ["y"])], "g", [h.make_tensor_value_info("x", 1, [1])],
                     [h.make_tensor_value_info("y", 1, [1])])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
session = o.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
session.run(None, {"x": __import__("numpy").ones(1, "float32")})
time.sleep(float(__import__("sys").argv[1]))
"""
QUIET = ".cache/clean-corpus/"  # the only folder below the home that may be written


def environment(home: Path, watch: Connections) -> dict[str, str]:
    """Return an environment without any switch, as a user has it, with a home of its own."""
    hidden = {*FORCED, "CI", "PREFECT_API_URL", "PREFECT_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"}
    return {k: v for k, v in os.environ.items() if k not in hidden} | {"HOME": str(home)} | watch.environment


def written(home: Path) -> list[str]:
    """Return the files below a home that are not this program's."""
    names = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    return [name for name in names if not name.startswith(QUIET)]


def test_the_watch_sees_python_and_native_code(tmp_path):
    watch = Connections(tmp_path)
    code = "import socket\nfor call in (lambda: socket.getaddrinfo('example.org', 1), "
    code += "lambda: socket.create_connection(('192.0.2.1', 9), timeout=1), "
    code += "lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.2', 9)), "
    code += "lambda: socket.gethostbyname('example.net')):\n    try: call()\n    except OSError: pass"
    subprocess.run([sys.executable, "-c", code], env=os.environ | watch.environment, check=True)
    ends = ("look-up example.org", "connection 192.0.2.1:9", "connection 192.0.2.2:9", "look-up example.net")
    assert [line.partition(" (")[0] for line in watch.seen()] == list(ends)


def test_the_switch_of_onnxruntime_holds_and_the_watch_sees_its_calls_without_it(tmp_path):
    """The locked onnxruntime looks up mobile.events.data.microsoft.com natively and leaves a device id behind."""
    for name, code, seconds in (("off", "import clean_corpus\n" + SENDS, 3), ("on", SENDS, 30)):
        home = tmp_path / name
        home.mkdir()
        watch = Connections(tmp_path / name)
        command = [sys.executable, "-c", code, str(seconds)]
        process = subprocess.Popen(command, env=environment(home, watch))
        while process.poll() is None and not watch.seen():
            time.sleep(0.1)
        process.kill()
        process.wait()
        left = [file for file in written(home) if not file.startswith("connections.")]
        if name == "off":
            assert (watch.seen(), left) == ([], [])
        elif not watch.seen():
            pytest.skip("this onnxruntime does not call")
        else:
            assert "look-up mobile.events.data.microsoft.com" in watch.seen()[0] and left


@pytest.mark.parametrize("command", ["run", "score", "enhance"])
def test_a_command_connects_to_nothing_and_leaves_nothing_behind(tmp_path, command):
    home, recordings = tmp_path / "home", tmp_path / "in"
    home.mkdir()
    recordings.mkdir()
    encode.write_wav(recordings / "a.wav", speech(3.0, 1), 16000)
    watch = Connections(tmp_path)
    arguments = [COMMAND, command, recordings, *([] if command == "score" else [tmp_path / "out"]), "--workers", "1"]
    ended = subprocess.run(
        [*map(str, arguments)], env=environment(home, watch), capture_output=True, text=True, timeout=280
    )
    assert ended.returncode == 0, ended.stderr
    assert watch.seen() == []
    assert [file for file in written(home) if not file.startswith(".cache/matplotlib/")] == []  # its list of fonts
