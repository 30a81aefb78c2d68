"""Switches are set before any library is imported, whatever the user's environment says."""

import json
import os
import subprocess
import sys

from clean_corpus.pipeline.core.telemetry import DEFAULTS, FORCED


def environment_after(code: str, **given: str) -> dict[str, str]:
    """Return the switches in a process's environment after some code."""
    clean = {name: value for name, value in os.environ.items() if name not in FORCED | DEFAULTS}
    code += "; import os, json; print(json.dumps(dict(os.environ)))"
    ended = subprocess.run([sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)
    return {name: found.get(name) for name in FORCED | DEFAULTS}


def test_importing_any_part_of_the_package_sets_them_before_a_library_is_loaded():
    loaded = "import sys; import clean_corpus.pipeline; assert not {'onnxruntime', 'prefect', 'ray'} & set(sys.modules)"
    assert environment_after(loaded) == FORCED | DEFAULTS


def test_telemetry_is_off_whatever_the_user_set_and_other_settings_stay():
    said = environment_after(
        "import clean_corpus", ORT_DISABLE_TELEMETRY="0", DO_NOT_TRACK="0", RAY_USAGE_STATS_ENABLED="1",
        PREFECT_SERVER_ANALYTICS_ENABLED="true", HF_HUB_OFFLINE="0",
    )  # fmt: skip
    assert said == FORCED | {"HF_HUB_OFFLINE": "0"}
