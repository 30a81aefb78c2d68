"""Text without credentials: what is logged, printed or stored goes through here where it may hold some."""

import os
import re
from typing import Any

MASK = "****"
_SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "RAY_AUTH_TOKEN",
)
_NAME = (
    r"(?:secret|secret[_-]?(?:access[_-]?)?key|access[_-]?key[_-]?id|security[_-]token|token|signature"
    r"|credentials?|password|passwd|api[_-]?key|authorization)"
)
_BASE64 = r"[A-Za-z0-9/+=]"
_PATTERNS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=://)(?!\[)[^\s/'\"]+(?=@)", MASK),  # user:password of a URL; the password may have an @ too
        (r"(?i)(?<=[?&]sig=)[^\s&'\"]+", MASK),
        (r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", MASK),
        (r"(?i)\b(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", MASK),
        (
            rf"(?i)(?<![a-z0-9])({_NAME}[\"']?\s*[=:]\s*)(?!\*{{4}}|AWS4-HMAC)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&<>]+)",
            rf"\1{MASK}",
        ),
        # what a secret key (40) or a session token (100 and more) looks like without its name; hashes are lower case
        (
            rf"(?<![\w/+=.-])(?={_BASE64}*[a-z])(?={_BASE64}*[A-Z])(?={_BASE64}*[0-9])"
            rf"(?:{_BASE64}{{40}}|{_BASE64}{{100,}})(?![\w/+=-])",
            MASK,
        ),
    )
]


def mask(text: str) -> str:
    """Return text without credentials: AWS keys, tokens, a URL's user or signature, and values of known variables.

    >>> mask("https://me:pw@host/x?X-Amz-Signature=ab12&part=1, key AKIAIOSFODNN7EXAMPLE")
    'https://****@host/x?X-Amz-Signature=****&part=1, key ****'
    """
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= 8:  # shorter ones are those of test servers, and words of every text
            text = text.replace(value, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def mask_address(text: str) -> str:
    """Return what was given as the address of a server without user and password, even if it is no address.

    >>> mask_address("http://me:p/w@host/x"), mask_address("me:pw@host")
    ('http://****@host/x', '****@host')
    """
    start, slashes, rest = text.rpartition("://")
    _, at, host = rest.rpartition("@")
    return mask(f"{start}{slashes}{MASK if at else ''}{at}{host}")


def masked(value: Any) -> Any:
    """Mask every text within lists and mappings; the value of a key that is named as a secret is masked whole."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {
            key: MASK if re.fullmatch(rf"(?i)(?:.*[_-])?{_NAME}", str(key)) else masked(item)
            for key, item in value.items()
        }
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value
