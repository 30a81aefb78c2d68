"""Switches of libraries that would call home, set before any of them is imported and in every process.

`clean_corpus` calls `switch_off` when it is imported, so it holds for the command, for workers, actors of Ray and
deployed flows. Programs that start before this package is imported (`prefect server`, `prefect worker`, `ray start`)
have the same variables from docs/OPERATIONS.md and infra/.
"""

import os

FORCED = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime >= 1.29: a device id, an event queue, look-ups of its collector
    "DO_NOT_TRACK": "1",  # Prefect's client
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Set whatever the user has set."""

DEFAULTS = {"HF_HUB_OFFLINE": "1"}
"""Set unless the user has set them: whoever asks for downloads by name may have them."""


def switch_off() -> None:
    """Set the switches for this process and all that it starts; libraries that are loaded already may be past it."""
    os.environ.update(FORCED)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
