"""Languages of clips as the lists of readers write them."""

from collections.abc import Mapping

from clean_corpus.pipeline.text.languages import language_code

Codes = Mapping[str, str]
"""What a reader writes for each language that it takes, by code or by a whole tag in small letters."""

# Source: RVC-Boss/GPT-SoVITS, GPT_SoVITS/prepare_datasets/1-get-text.py: language_v1_to_language_v2. Lines with other
# tags are passed over there. Its models of the first version know zh, ja and en alone.
GPT_SOVITS: Codes = {
    "zh": "zh",
    "yue": "yue",
    "zh-yue": "yue",  # tags of Cantonese whose first part alone would be Mandarin
    "zh-hk": "yue",
    "cantonese": "yue",
    "ja": "ja",
    "jp": "ja",
    "en": "en",
    "ko": "ko",
}

# Source: idiap/coqui-ai-TTS, TTS/tts/configs/xtts_config.py: languages, which are codes but for this one.
XTTS: Codes = {"zh": "zh-cn"}


def as_read(language: str | None, codes: Codes) -> str | None:
    """Return a language as a reader writes it; None for none, and for one that it does not take.

    >>> [as_read(name, GPT_SOVITS) for name in ("en-US", "eng", "zh_HK", "zh-CN", "JP", "nl", None)]
    ['en', 'en', 'yue', 'zh', 'ja', None, None]
    """
    if not language:
        return None
    tag = language.strip().replace("_", "-").casefold()
    return codes.get(tag) or codes.get(language_code(language) or "")
