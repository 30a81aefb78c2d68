"""Codes of languages, as manifests write them."""

ENGLISH = "en"
_NAMES = {  # of languages that manifests of speech corpora spell out, and their codes of three letters
    "en": "english eng",
    "de": "german deutsch deu ger",
    "fr": "french francais fra fre",
    "es": "spanish espanol spa",
    "it": "italian italiano ita",
    "nl": "dutch nederlands nld dut",
    "pt": "portuguese portugues por",
    "pl": "polish polski pol",
    "ru": "russian rus",
    "uk": "ukrainian ukr",
    "zh": "chinese mandarin zho chi cmn",
    "ja": "japanese jpn",
    "ko": "korean kor",
}
_CODES = {name: code for code, names in _NAMES.items() for name in names.split()}


def language_code(language: str | None) -> str | None:
    """Return a language's code of ISO 639-1 where it is known, else its first subtag; None for none.

    >>> [language_code(name) for name in ("en-US", "de_DE.UTF-8", "English", "cmn", "gsw", None)]
    ['en', 'de', 'en', 'zh', 'gsw', None]
    """
    if not language:
        return None
    code = language.strip().replace("_", "-").split("-")[0].split(".")[0].casefold()
    return _CODES.get(code, code) or None
