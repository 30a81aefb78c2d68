"""Credentials are masked wherever they stand in a text, and nothing else is."""

import time

import pytest

from clean_corpus.pipeline.core.masking import MASK, mask, masked

# the examples of AWS's own documentation
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN = "AQoDYXdzEJr" * 12 + "Zz0+/w=="


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/x", "https://****@host/x"),
        ("https://me:p@w@host/x@y", "https://****@host/x@y"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key ****."),
        (f"the key {SECRET_KEY} as it is", "the key **** as it is"),
        ("x?sig=abc%2F&y=1", "x?sig=****&y=1"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: ****"),
        ('{"password": "a b c", "user": "me"}', '{"password": ****, "user": "me"}'),
        ("token=abc;next", "token=****;next"),
        ("s3://bucket/folder/clip-0001.flac, 3 of 40", "s3://bucket/folder/clip-0001.flac, 3 of 40"),
        ("sha256 " + "0123456789abcdef" * 4, "sha256 " + "0123456789abcdef" * 4),  # a hash is no secret
    ],
)
def test_credentials_are_masked_and_nothing_else(text, expected):
    assert mask(text) == expected


def test_values_of_known_variables_are_masked_unless_they_are_short(monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1234567890")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    assert mask("pnu_1234567890 in a test") == "**** in a test"


@pytest.mark.parametrize(
    "text",
    [
        f"key {ACCESS_KEY} was refused",
        "ASIAIOSFODNN7EXAMPLE",
        f"secret {SECRET_KEY}.",
        f"aws_secret_access_key = {SECRET_KEY}",
        f'{{"aws_session_token": "{SESSION_TOKEN}"}}',
        f"with {SESSION_TOKEN} it failed",
        "postgresql+asyncpg://prefect:hunter2-hunter2@db:5432/prefect",
        "https://bucket.s3.amazonaws.com/a.wav?X-Amz-Credential=hunter2-hunter2&X-Amz-Signature=hunter2-hunter2&part=1",
        "https://host/a?AWSAccessKeyId=x&Signature=hunter2-hunter2",
        "https://account.blob/x?sv=1&sig=hunter2-hunter2",
        "Authorization: Bearer hunter2-hunter2",
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/eu/s3/aws4_request, "
        "SignedHeaders=host, Signature=hunter2-hunter2",
        "{'password': 'hunter2-hunter2 with spaces'}",
        "MY_API_KEY=hunter2-hunter2",
    ],
)
def test_no_secret_of_a_text_is_left(text):
    result = mask(text)
    for secret in (ACCESS_KEY, "ASIAIOSFODNN7EXAMPLE", SECRET_KEY, SESSION_TOKEN, "hunter2-hunter2", "with spaces"):
        assert secret not in result
    assert MASK in result and mask(result) == result


@pytest.mark.parametrize(
    "text",
    [
        "work/raw/0123456789abcdef01234567-000.tar",
        "s3://bucket/folder/2026-11-21/Interview_Part2.wav",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "git da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "enhancement lowered dnsmos_sig: 3.1 -> 2.5, allowed 0.5",
        "snr_db 3 < 12",
        "http://127.0.0.1:9000/metrics",
        "speaker anna@example.org",
        "String should match pattern '^https?://[^@/]+/?$'",
    ],
)
def test_what_is_no_credential_stays(text):
    assert mask(text) == text


@pytest.mark.parametrize("piece", ["A", "a_", "a-b", "aA1/", "://", "secret ", "secret=", "'\"", "x@"])
def test_masking_takes_time_in_proportion_to_the_text(piece):
    """Names of files and texts of exceptions are anyone's; a quadratic pattern needs minutes here."""
    start = time.perf_counter()
    mask(piece * (200_000 // len(piece)))
    assert time.perf_counter() - start < 5


def test_values_of_the_environment_are_masked_whatever_they_look_like(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lower case phrase")
    assert mask("it was <lower case phrase>") == "it was <****>"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert mask("a test server") == "a test server"


def test_nested_values_and_secret_keys_are_masked():
    value = {"api_key": 3, "s3_secret": ["x"], "list": ["https://a:b@c/"], "n": 1.5}
    assert masked(value) == {"api_key": "****", "s3_secret": "****", "list": ["https://****@c/"], "n": 1.5}
