"""The words, sentences, numbers and random strings printed on drawn pages, found on any machine with Python."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dsocr.errors import InputError

ASCII = "".join(chr(code) for code in range(32, 127))
TYPOGRAPHIC = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u2022\u00e9\u00a3\u20ac\u00b0\u00a7\u00e4\u00f6\u00fc"
ALPHABET = ASCII + TYPOGRAPHIC
"""Every character a drawn page may show: printable ASCII and sixteen characters of print."""

# Random strings keep reading honest: text that cannot be guessed has to be looked at.
WEIGHTS: Mapping[str, float] = {"random": 0.4, "words": 0.2, "prose": 0.2, "numbers": 0.1, "shuffled": 0.1}
"""How much of a mixture comes from each kind of text, unless the caller says otherwise."""

_MODULES = """
argparse ast asyncio.base_events asyncio.events asyncio.streams base64 bdb bisect calendar cmd cmath codecs
collections concurrent.futures._base configparser contextlib copy csv ctypes dataclasses datetime _pydatetime
decimal _pydecimal difflib dis doctest email.charset email.contentmanager email.feedparser email.header
email.headerregistry email.message email.policy email.utils enum fileinput filecmp fnmatch fractions ftplib
functools getopt getpass gettext glob gzip hashlib heapq hmac html.parser http.client http.cookiejar
http.cookies http.server imaplib importlib._bootstrap inspect _pyio io ipaddress json.decoder json.encoder
linecache locale logging logging.config logging.handlers lzma mailbox mimetypes multiprocessing.managers
multiprocessing.pool netrc numbers operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib
poplib pprint profile pstats pyclbr pydoc queue random re sched secrets selectors shelve shlex shutil site
smtplib socket socketserver sqlite3.dump ssl statistics string subprocess symtable sysconfig tarfile tempfile
textwrap threading timeit token tokenize trace traceback tracemalloc turtle types typing unittest.case
unittest.mock unittest.loader unittest.suite urllib.error urllib.parse urllib.request urllib.robotparser uuid
warnings wave weakref webbrowser wsgiref.handlers wsgiref.util xml.dom.minidom xml.dom.pulldom
xml.etree.ElementTree xml.sax.handler xmlrpc.client xmlrpc.server zipapp zipfile zipimport
"""

_STATEMENT = r"^\s*(def|class|import|from|return|raise|for|if|@)\b.*[:)=]\s*$"
_CODE = re.compile(r">>>|\.\.\. |^\s*[-=~^*#+|]{3,}|::=|" + _STATEMENT, re.M)
_MARKUP = re.compile(r":[a-z:]+:(?=`)|``?|\*\*|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)|_(?=\W)(?<=`_)|\|")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;:.!?'\"()/%-]{18,280}[.!?]")
_WORD = re.compile(r"[A-Za-z][a-z]+(?:['-][a-z]+)*")
_MONTHS = "January February March April May June July August September October November December"


@dataclass(frozen=True)
class TextSource:
    """Text to print: sentences in reading order and the distinct words in them; choices come from the caller's rng."""

    sentences: tuple[str, ...]
    vocabulary: tuple[str, ...]

    def prose(self, rng: random.Random, n: int) -> str:
        """Return running sentences from a random place, at most about n characters, cut at the end of a word."""
        return _cut(_joined(self._sentences_from(rng), n), n)

    def shuffled(self, rng: random.Random, n: int) -> str:
        """Return prose of about n characters with the words of every sentence in random order."""
        words = self.prose(rng, n).split(" ")
        rng.shuffle(words)
        return " ".join(words)

    def words(self, rng: random.Random, n: int) -> str:
        """Return about n characters of words, each distinct word equally likely, with random capitals and marks."""
        return _cut(_joined((_dressed(rng, rng.choice(self.vocabulary)) for _ in itertools.count()), n), n)

    def numbers(self, rng: random.Random, n: int) -> str:
        """Return about n characters of amounts, dates, times, prices and telephone-like numbers."""
        return _cut(_joined((rng.choice(_NUMBERS)(rng) for _ in itertools.count()), n), n)

    def random_string(self, rng: random.Random, n: int) -> str:
        """Return n random characters of ALPHABET in runs of 1 to 10 between single spaces; rare ones are rarer."""
        characters: list[str] = rng.choices(_INKED, cum_weights=_INKED_WEIGHTS, k=max(n, 1))
        place = rng.randint(1, 10)
        while place < n - 1:
            characters[place] = " "
            place += 1 + rng.randint(1, 10)
        return "".join(characters)

    def mixture(self, rng: random.Random, n: int, weights: Mapping[str, float] | None = None) -> str:
        """Return about n characters in stretches of different kinds.

        weights maps "random", "words", "prose", "numbers" and "shuffled" to their shares; kinds left out do not occur.
        """
        shares = _known(weights or WEIGHTS)
        writers = {"random": self.random_string, "words": self.words, "prose": self.prose}
        writers |= {"numbers": self.numbers, "shuffled": self.shuffled}
        pieces: list[str] = []
        left = n
        while left > 0:
            # Half of the texts are of one kind throughout, as pages usually are.
            length = left if rng.random() < 0.5 else min(left, rng.randint(8, 120))
            kind = rng.choices(list(shares), list(shares.values()))[0]
            pieces.append(writers[kind](rng, length))
            left -= length + 1
        return " ".join(pieces)

    def _sentences_from(self, rng: random.Random) -> Iterator[str]:
        start = rng.randrange(len(self.sentences))
        for index in itertools.count(start):
            yield _typeset(rng, self.sentences[index % len(self.sentences)])


@lru_cache(maxsize=1)
def collect_text() -> TextSource:
    """Collect the sentences of Python's own documentation (about two seconds, once); the order is always the same.

    Raises InputError where Python was installed without its standard library sources.
    """
    texts = itertools.chain(_topics(), *(_docstrings(name) for name in _MODULES.split()))
    sentences = tuple(dict.fromkeys(sentence for text in texts for sentence in clean_sentences(text)))
    vocabulary = tuple(sorted({word for sentence in sentences for word in _WORD.findall(sentence)}))
    if not vocabulary:
        raise InputError("no text to print: this Python has no standard library sources; install a full Python")
    return TextSource(sentences, vocabulary)


def clean_sentences(text: str) -> list[str]:
    """Return the plain English sentences of a documentation text, without code, markup, rules and line breaks."""
    paragraphs = (part for part in re.split(r"\n\s*\n", text) if not _CODE.search(part))
    plain = (" ".join(_MARKUP.sub("", part).split()) for part in paragraphs)
    return [piece for part in plain for piece in _SENTENCE_END.split(part) if _is_english(piece)]


def _is_english(sentence: str) -> bool:
    words = sentence.split(" ")
    plain = sum(word.strip(".,;:!?'\"()").isalpha() for word in words)
    return len(words) >= 4 and plain >= 0.8 * len(words) and _PLAIN.fullmatch(sentence) is not None


def _topics() -> list[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some systems package it separately
        return []
    return [topics[name] for name in sorted(topics)]


def _docstrings(module: str) -> list[str]:
    """Read the docstrings of a module from its source, without running it; none when it has no source here."""
    try:
        spec = importlib.util.find_spec(module)
        tree = ast.parse(Path(spec.origin or "").read_text(encoding="utf-8")) if spec else ast.Module([], [])
    except (ImportError, OSError, ValueError, SyntaxError):
        return []
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, owners)]


def _joined(pieces: Iterator[str], n: int) -> str:
    taken: list[str] = []
    length = 0
    while length <= n:
        taken.append(next(pieces))
        length += len(taken[-1]) + 1
    return " ".join(taken)


def _cut(text: str, n: int) -> str:
    """Cut at the last word end within n characters, or at n where the first word is longer."""
    if len(text) <= n:
        return text
    end = text.rfind(" ", 0, n + 1)
    return text[: end if end > 0 else n]


def _typeset(rng: random.Random, sentence: str) -> str:
    """Give a third of the sentences the marks of print: curly quotes, dashes."""
    if rng.random() > 0.33:
        return sentence
    sentence = re.sub(r"(^|[\s(])\"", "\\1\u201c", sentence).replace('"', "\u201d")
    sentence = re.sub(r"(^|[\s(])'", "\\1\u2018", sentence).replace("'", "\u2019")
    return sentence.replace(" -- ", rng.choice((" \u2013 ", "\u2014"))).replace(" - ", " \u2013 ")


def _dressed(rng: random.Random, word: str) -> str:
    chance = rng.random()
    if chance < 0.25:
        word = word.capitalize()
    elif chance < 0.35:
        word = word.upper()
    if rng.random() < 0.02:
        word = word.translate(_ACCENTS)
    if rng.random() < 0.75:
        return word
    return rng.choice(_DRESSES.split("  ")).replace("w", word)


def _known(weights: Mapping[str, float]) -> Mapping[str, float]:
    unknown = sorted(set(weights) - set(WEIGHTS))
    if unknown:
        raise InputError(f"unknown kind of text {unknown[0]!r}; known: {', '.join(WEIGHTS)}")
    return weights


def _grouped(rng: random.Random) -> str:
    return f"{int(10 ** rng.uniform(0, 7)):{rng.choice(('', ','))}}"


def _decimal(rng: random.Random) -> str:
    sign, unit = rng.choice(("", "", "-", "+")), rng.choice(("", "", "%", "\u00b0"))
    return f"{sign}{10 ** rng.uniform(-1, 4):.{rng.randint(1, 4)}f}{unit}"


def _price(rng: random.Random) -> str:
    amount = f"{10 ** rng.uniform(0, 5):{rng.choice(('', ','))}.2f}"
    return rng.choice(("${}", "\u20ac{}", "\u00a3{}", "{} \u20ac", "{} USD", "EUR {}")).format(amount)


def _date(rng: random.Random) -> str:
    year, month, day = rng.randint(1900, 2039), rng.randint(1, 12), rng.randint(1, 28)
    name = _MONTHS.split()[month - 1]
    forms = (f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}", f"{month}/{day}/{year % 100:02}",
             f"{day} {name} {year}", f"{name} {day}, {year}", f"{name[:3]} {year}")  # fmt: skip
    return rng.choice(forms)


def _time(rng: random.Random) -> str:
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    return rng.choice((f"{hour:02}:{minute:02}", f"{hour % 12 + 1}:{minute:02} {rng.choice(('am', 'pm', 'AM', 'PM'))}"))


def _telephone(rng: random.Random) -> str:
    form = rng.choice(("+## ## ### ## ##", "(###) ###-####", "###-####", "0#### ######", "+# ### ### ####"))
    return re.sub("#", lambda _: str(rng.randint(0, 9)), form)


def _code(rng: random.Random) -> str:
    form = rng.choice(("AA-####", "No. ####", "#A##A", "A#.#.#", "##/####", "#### #### ####", "AAA####A", "\u00a7 ##"))
    return re.sub("[A#]", lambda m: rng.choice(string.ascii_uppercase if m[0] == "A" else string.digits), form)


_NUMBERS = (_grouped, _decimal, _price, _date, _time, _telephone, _code)
_INKED = ALPHABET.replace(" ", "")
_INKED_WEIGHTS = list(
    itertools.accumulate(1.0 if c.isascii() and c.isalnum() else 0.7 if c.isascii() else 0.25 for c in _INKED)
)
_ACCENTS = str.maketrans("eaou", "\u00e9\u00e4\u00f6\u00fc")
# The w stands for the word; two spaces lie between the ways to dress it.
_DRESSES = (
    "w.  w.  w,  w,  w;  w:  w!  w?  w\u2026  w -  w \u2013  w \u2014  w...  w/  w &  w +  (w)  [w]  'w'  \"w\"  "
    "\u201cw\u201d  \u2018w\u2019  *w*  \u2022 w  <w>  {w}  @w  w's  w\u2019s  _w_  w =  ~w  `w`  w |"
)
