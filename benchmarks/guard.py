"""What the gate's defaults rest on: the fixed pairs, where the clean speech is known, scored before and after.

usage: python benchmarks/guard.py [NOISY.json ENHANCED.json]     writes the sections `guard` and `levels` of the README
  the files: what `clean-corpus score DIR --clean CLEAN --json` printed for the pairs; made anew if not given
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from readme import COMMAND, DATA, TOOLS, put, table


def main() -> None:
    if len(sys.argv) == 3:
        files = [json.loads(Path(name).read_text())["files"] for name in sys.argv[1:]]
    else:
        files = _made_anew()
    names = sorted(files[0])

    def column(which: int, score: str) -> np.ndarray:
        return np.array([np.nan if (v := files[which][n][score]) is None else v for n in names], float)

    worse = {score: column(1, score) < column(0, score) for score in ("pesq_wb", "si_sdr_db")}
    drop = column(0, "dnsmos_sig") - column(1, "dnsmos_sig")
    rows = [
        [f"{d:g}", *(int((b & (drop > d)).sum()) for b in (drop > d, *worse.values()))] for d in (0, 0.1, 0.2, 0.3, 0.5)
    ]
    total = [f"any, of {len(names)}", len(names), *(int(b.sum()) for b in worse.values())]
    put("guard", table(["SIG fell by more than", "files", "PESQ really lower", "SI-SDR really lower"], [*rows, total]))

    shown = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "snr_db", "bandwidth_hz")
    rows = []
    for snr in ("00dB", "05dB", "10dB", "15dB", "20dB"):
        here = np.array([snr in name for name in names])
        rows.append([snr, *("{:.4g} / {:.4g}".format(*np.nanpercentile(column(1, s)[here], (10, 50))) for s in shown)])
    put("levels", table(["pairs of", *(f"{s} p10 / p50" for s in shown)], rows))


def _made_anew() -> list[dict[str, dict[str, float | None]]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make = [sys.executable, TOOLS / "make_pairs.py", DATA / "speech/dev", DATA / "noise/dev", root, "--every", "2"]
        subprocess.run(make, check=True)
        subprocess.run([COMMAND, "enhance", root / "noisy", root / "enhanced"], check=True)
        return [_scores(root / which, root / "clean") for which in ("noisy", "enhanced")]


def _scores(folder: Path, clean: Path) -> dict[str, dict[str, float | None]]:
    done = subprocess.run([COMMAND, "score", folder, "--clean", clean, "--json"], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["files"]


if __name__ == "__main__":
    main()
