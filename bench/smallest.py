"""The least memory with which something still works, in as few tries as may be: a try is a boot."""

from collections.abc import Callable, Sequence


def smallest(sizes: Sequence[int], guess: int, works: Callable[[int], bool]) -> int | None:
    """The first of the rising `sizes` that works, None when none does.

    What works with some size is taken to work with every larger one. The search begins at the size nearest to `guess`
    and goes outwards in doubling steps, so that a good guess costs two or three tries.
    """
    place = min(range(len(sizes)), key=lambda index: abs(sizes[index] - guess))
    fails, step = -1, 1
    if works(sizes[place]):
        good = place
        while good > 0 and works(sizes[probe := max(0, good - step)]):
            good, step = probe, step * 2
        fails = -1 if good == 0 else probe
    else:
        good, fails = len(sizes), place
        while fails < len(sizes) - 1 and not works(sizes[probe := min(len(sizes) - 1, fails + step)]):
            fails, step = probe, step * 2
        if fails == len(sizes) - 1:
            return None
        good = probe
    while good - fails > 1:
        middle = (good + fails) // 2
        if works(sizes[middle]):
            good = middle
        else:
            fails = middle
    return sizes[good]
