"""One word of a range and the names that it stands for: `n7`, `n[01-16,20]`, `n01-n16`, `n01:n16`, `n01+3`.

ClusterShell's RangeSet says what a range of numbers is; folding gives back what it would.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from itertools import product

from ClusterShell.RangeSet import RangeSet, RangeSetException

from muster.model.errors import RequestError

MAX_NAMES = 200_000
"""The most names that one range may write out."""

MAX_LENGTH = 255
"""The most characters of a name, as written."""

_MAX_BRACKETS = 16
_DIGITS = "0123456789"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_AFFIX = re.compile(r"[A-Za-z0-9._-]*")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_SPAN = r"[0-9]{1,255}(?:[-:][0-9]{1,255}(?:/[0-9]{1,9})?)?"
_SPANS = re.compile(rf"{_SPAN}(?:,{_SPAN})*")
_ENDS = re.compile(r"([0-9]+)(?:[-:]([0-9]+))?(?:/([0-9]+))?")
_COUNTED = re.compile(r"(?s)(.*?)([0-9]+)([^0-9]*)\+([0-9]{1,9})")
_LAST_NUMBER = re.compile(r"(?s)(.*?)([0-9]+)([^0-9]*)")


def names_of(word: str, known: Container[str] = ()) -> list[str]:
    """The names that a word stands for, in ascending order. A `known` name is itself, whatever it looks like."""
    if word in known:
        return [word]
    if "[" in word:
        return _bracketed(word)
    if len(word) > MAX_LENGTH:
        raise RequestError(f"not a name: {shortened(word)}: longer than {MAX_LENGTH} characters")
    if "+" in word:
        return _counted(word)
    if (ends := _ends(word)) is not None:
        return _between(word, *ends)
    if not _NAME.fullmatch(word):
        raise RequestError(f"not a name: {word!r}")
    return [word]


def refuse_more_than(count: int, what: str) -> None:
    """RequestError when `count` names are more than a range may write out."""
    if count > MAX_NAMES:
        raise RequestError(f"{shortened(what)} has {count} names, more than {MAX_NAMES}")


def shortened(text: str) -> str:
    """A range as an error quotes it."""
    return repr(text) if len(text) <= 80 else f"{text[:60]!r}… ({len(text)} characters)"


def fold(names: Iterable[str]) -> str:
    """Names as one short sorted range that stands for exactly these names; empty for none.

    Numbers fold from the last in a name to the first: `r[1-2]n[001-064]`.
    """
    done: list[str] = []
    open_ends = _folded_tails(names)
    while open_ends:
        groups: dict[tuple[str, str], set[str]] = defaultdict(set)
        for head, tail in open_ends:
            if (found := _LAST_NUMBER.fullmatch(head)) is None:
                done.append(_unmistakable(head + tail))
            else:
                groups[found[1], found[3] + tail].add(found[2])
        open_ends = [(head, _folded(numbers) + tail) for (head, tail), numbers in groups.items()]
    return ",".join(sorted(done))


def _folded_tails(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that end in a number, grouped by what is before it: (head, folded number)."""
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        head = name.rstrip(_DIGITS)
        groups[head].add(name[len(head) :])
    ends: list[tuple[str, str]] = []
    for head, numbers in groups.items():
        if "" in numbers:
            numbers.remove("")
            ends.append((head, ""))
        if numbers:
            ends.append((head, _folded(numbers)))
    return ends


def _folded(numbers: set[str]) -> str:
    """As RangeSet writes it, in a quarter of its time. A range over two lengths (8-12) has no padding."""
    if len(numbers) == 1:
        return next(iter(numbers))
    by_length: defaultdict[int, list[str]] = defaultdict(list)
    for number in numbers:
        by_length[len(number)].append(number)
    done: list[tuple[str, str]] = []
    for length in sorted(by_length):
        runs = _runs(sorted(by_length[length]))
        if done and _goes_on(*done[-1], runs[0][0]):
            runs[0] = (done.pop()[0], runs[0][1])
        done += runs
    return f"[{','.join([start if start == end else f'{start}-{end}' for start, end in done])}]"


def _runs(numbers: list[str]) -> list[tuple[str, str]]:
    """First and last of each run of consecutive numbers, all of one length and sorted."""
    runs: list[tuple[str, str]] = []
    first = last = numbers[0]
    value = int(first)
    for number in numbers[1:]:
        value += 1
        if int(number) != value:
            runs.append((first, last))
            first, value = number, int(number)
        last = number
    runs.append((first, last))
    return runs


def _goes_on(first: str, last: str, following: str) -> bool:
    """Whether a number with one digit more carries the range on: 9, 10."""
    padded = len(first) > 1 and first.startswith("0")
    padded = padded or following.startswith("0")
    return not padded and len(following) == len(last) + 1 and int(following) == int(last) + 1


def _unmistakable(word: str) -> str:
    """A name that reads as a range of two names (`n1-n2`) with its last number in brackets."""
    if "[" in word or _ends(word) is None:
        return word
    return re.sub(r"([0-9]+)([^0-9]*)$", r"[\1]\2", word)


def _bracketed(word: str) -> list[str]:
    pieces = _BRACKETS.split(word)
    texts, lists = pieces[::2], pieces[1::2]
    if not all(_AFFIX.fullmatch(text) for text in texts) or word.startswith(("-", ".")):
        raise RequestError(f"not a range of names: {shortened(word)}")
    if len(lists) > _MAX_BRACKETS or sum(map(len, texts)) > MAX_LENGTH:
        raise RequestError(f"not a range of names: {shortened(word)}: it is too long")
    count = 1
    for numbers in lists:
        if not _SPANS.fullmatch(numbers):
            raise RequestError(f"not a list of numbers: [{numbers[:60]}] in {shortened(word)}", hint="n[01-16,20]")
        count *= sum(map(_length, numbers.split(",")))
        refuse_more_than(count, word)
    choices = [[text] for text in texts]
    for position, numbers in enumerate(lists):
        choices.insert(2 * position + 1, _numbers(numbers.replace(":", "-"), word))
    return _joined(choices)


def _joined(choices: list[list[str]]) -> list[str]:
    if len(choices) == 3:
        (head,), numbers, (tail,) = choices
        return [f"{head}{number}{tail}" for number in numbers]
    return ["".join(parts) for parts in product(*choices)]


def _length(span: str) -> int:
    """How many numbers `1-9/2` has; ClusterShell would make them all before it can be asked."""
    ends = _ENDS.fullmatch(span)
    if ends is None or ends[2] is None:
        return 1
    return max(0, int(ends[2]) - int(ends[1])) // max(1, int(ends[3] or 1)) + 1


def _numbers(text: str, word: str) -> list[str]:
    try:
        return _ascending(RangeSet(text))
    except RangeSetException as error:
        raise RequestError(f"not a range of names: {shortened(word)}: {error}") from error


def _ascending(numbers: RangeSet) -> list[str]:
    """By length, then by digits: the order of their values where the padding is one."""
    return sorted(sorted(set(numbers)), key=len)


def _counted(word: str) -> list[str]:
    """`n08+3`: the name and the three after it."""
    parts = _COUNTED.fullmatch(word)
    if parts is None or not _NAME.fullmatch(word.partition("+")[0]):
        raise RequestError(f"not a name and a count: {word!r}", hint="n01+3 is n01 to n04")
    first, more = int(parts[2]), int(parts[4])
    refuse_more_than(more + 1, word)
    padding = len(parts[2]) if parts[2].startswith("0") else 0
    numbers = RangeSet.fromone(slice(first, first + more + 1), pad=padding)
    return [f"{parts[1]}{number}{parts[3]}" for number in _ascending(numbers)]


def _ends(word: str) -> tuple[str, str] | None:
    """The two names of `n01-n16` or `n01:n16`: alike but for their numbers. None for anything else."""
    for left, right in _halves(word):
        shape = re.sub(r"[0-9]+", "#", left)
        if "#" in shape and shape != "#" and shape == re.sub(r"[0-9]+", "#", right):
            return left, right
    return None


def _halves(word: str) -> Iterator[tuple[str, str]]:
    for separator in ":-":
        pieces = word.split(separator)
        if len(pieces) % 2 == 0:
            middle = len(pieces) // 2
            yield separator.join(pieces[:middle]), separator.join(pieces[middle:])


def _between(word: str, left: str, right: str) -> list[str]:
    pairs = list(zip(re.split(r"([0-9]+)", left), re.split(r"([0-9]+)", right), strict=True))
    differing = [position for position, (a, b) in enumerate(pairs) if a != b]
    if len(differing) != 1:
        raise RequestError(f"{word!r}: the two ends differ in {len(differing)} numbers; they must in exactly one")
    first, last = pairs[differing[0]]
    head = "".join(a for a, _ in pairs[: differing[0]])
    tail = "".join(a for a, _ in pairs[differing[0] + 1 :])
    refuse_more_than(_length(f"{first}-{last}"), word)
    return [f"{head}{number}{tail}" for number in _numbers(f"{first}-{last}", word)]
