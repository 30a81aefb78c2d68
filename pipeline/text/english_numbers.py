"""Ways in which a number is read in English."""

import re

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_SMALL += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
_ORDINALS |= {"twelve": "twelfth"}
_LARGE = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))


def cardinal(n: int) -> str:
    """Return a number below a trillion in words.

    >>> cardinal(1905), cardinal(40)
    ('one thousand nine hundred five', 'forty')
    """
    if n < 20:
        return _SMALL[n]
    if n < 100:
        return _TENS[n // 10] + (f" {_SMALL[n % 10]}" if n % 10 else "")
    size, name = next((size, name) for size, name in _LARGE if n >= size)
    return f"{cardinal(n // size)} {name}" + (f" {cardinal(n % size)}" if n % size else "")


def ordinal(n: int) -> str:
    """Return the ordinal of a number in words.

    >>> ordinal(21), ordinal(30), ordinal(4)
    ('twenty first', 'thirtieth', 'fourth')
    """
    *rest, last = cardinal(n).split()
    last = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*rest, last])


def readings(token: str) -> list[str]:
    """Return the ways in which a word that begins with a digit may be read; none if it cannot be told.

    >>> readings("1999")[:2]
    ['one thousand nine hundred ninety nine', 'nineteen ninety nine']
    >>> readings("3.5"), readings("9:30"), readings("2nd")
    (['three point five'], ['nine thirty'], ['second'])
    """
    token = re.sub(r",(?=\d{3}(?:\D|$))", "", token.lower())
    if match := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", token):
        return [ordinal(int(match[1]))] if len(match[1]) < 12 else []
    if match := re.fullmatch(r"(\d{1,9})[.](\d+)", token):
        return [f"{cardinal(int(match[1]))} point {_digits(match[2])}"]
    if match := re.fullmatch(r"(\d{1,2}):(\d\d)", token):
        minutes = int(match[2])
        hour = cardinal(int(match[1]))
        return [f"{hour} {'oh ' if 0 < minutes < 10 else ''}{cardinal(minutes)}"] if minutes else [hour]
    if not re.fullmatch(r"\d{1,12}", token):
        return []
    found = [cardinal(int(token))]
    if len(token) == 4 and token[0] != "0":
        found.append(_year(int(token)))
    if len(token) in (3, 4) and "hundred" in found[0]:
        found.append(found[0].replace("hundred ", "hundred and "))
    if len(token) > 1:
        found += [_digits(token), _digits(token).replace("zero", "oh")]
    return list(dict.fromkeys(found))


def _digits(token: str) -> str:
    return " ".join(_SMALL[int(digit)] for digit in token)


def _year(n: int) -> str:
    century, rest = divmod(n, 100)
    if not rest:
        return f"{cardinal(century)} hundred" if century % 10 else cardinal(n)
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
