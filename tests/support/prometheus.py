"""Series of Prometheus as tests compare them: read back from text, or scraped from an address."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def parsed(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of label names) -> value, without `output` and the library's own times."""
    return {
        (sample.name.removeprefix("clean_corpus_"), *(v for k, v in sorted(sample.labels.items()) if k != "output")):
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }  # fmt: skip


def scraped(address: str) -> dict[tuple[str, ...], float]:
    """The series that an address serves now."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return parsed(answer.read().decode())
