"""What a run shows of itself on a Prefect server: a table known beforehand, and nothing that could hold it up."""

import time
import uuid

from prefect.settings import PREFECT_API_URL, temporary_settings

from clean_corpus.flows.observe import artifacts

SUMMARY = {
    "input": "s3://in", "output": "s3://out", "enhancer": "crn", "wall_s": 1.5,
    "counts": {"in": 4, "kept": 2, "rejected": 1, "failed": 1},
    "seconds": {"kept": 120.0, "rejected": 60.0, "failed": 0.0},
    "reasons": {"snr|low": {"clips": 1, "seconds": 60.0}},
    "means": {"dnsmos_ovrl": [2.0, 3.25]},
    "stages": [{"name": "clean", "seconds": 3.0, "done": 2, "reused": 0}],
}  # fmt: skip
TABLE = r"""| end | clips | minutes |
|---|---:|---:|
| **kept** | 2 | 2.0 |
| **rejected** | 1 | 1.0 |
| **failed** | 1 | 0.0 |
| snr\|low | 1 | 1.0 |

| mean of kept clips | before | after |
|---|---:|---:|
| dnsmos_ovrl | 2.00 | 3.25 |

| stage | worker seconds | done | reused |
|---|---:|---:|---:|
| clean | 3.0 | 2 | 0 |

4 clips in 1.5 s with `crn`; report: s3://out/report/index.html
"""


def test_the_table_says_what_the_run_says():
    assert artifacts.markdown(SUMMARY, "s3://out/report/index.html") == TABLE


def test_without_kept_clips_there_is_no_table_of_means():
    for summary in (SUMMARY | {"means": {}}, {key: value for key, value in SUMMARY.items() if key != "means"}):
        assert "mean of kept clips" not in artifacts.markdown(summary, "r")


def test_a_reason_stays_in_its_cell():
    summary = SUMMARY | {"reasons": {"broken\nin two": {"clips": 1, "seconds": 6.0}}}
    assert "| broken in two | 1 | 0.1 |" in artifacts.markdown(summary, "r").splitlines()


def test_progress_of_a_stage_has_a_key_that_prefect_accepts():
    run = uuid.uuid4()
    artifact = artifacts._progress(run, "score before", "0/3 shards")  # its model refuses other characters
    assert artifact.key == "clean-corpus-progress-score-before" and artifact.flow_run_id == run
    assert (artifact.type, artifact.data, artifact.description) == ("progress", 0.0, "score before: 0/3 shards")


def test_what_a_run_shows_neither_fails_nor_delays_it(monkeypatch, caplog):
    def everything() -> None:
        with artifacts.stage("clean", 3, "shards") as advance:
            for _ in range(3):
                advance()
        artifacts.results(SUMMARY, "/out/report/index.html")

    everything()  # outside a run
    assert not caplog.records
    monkeypatch.setattr(artifacts, "_run_id", uuid.uuid4)
    monkeypatch.setattr(artifacts, "_away_until", 0.0)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        begin = time.monotonic()
        everything()
        assert time.monotonic() - begin < 3 * artifacts.TIMEOUT_S
    assert [r.name for r in caplog.records] == ["clean_corpus.flows.observe.artifacts"] * 3  # not one per piece
