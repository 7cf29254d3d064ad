"""`make bench`: all figures, one after the other; with `--markdown`, docs/figures.md is brought up to date.

Needs root. Takes about half an hour under software emulation, most of it for the roots and their smallest machines, and
a few minutes more when an image has to be built first.
"""

import argparse
from collections.abc import Callable
from functools import partial

from bench import boot, memory, objects, roots, segments, store, text


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Objects, boot, memory, roots, segments, store."
    )
    parser.add_argument("--runs", type=int, default=3, help="boots of each machine (3)")
    parser.add_argument("--seconds", type=int, default=150, help="how long the agent is watched (150)")
    parser.add_argument("--image", default="debian12-tiny", help="recipe of what is booted (debian12-tiny)")
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    sections: dict[str, Callable[[], str]] = {
        "objects": objects.measure,
        "boot": partial(boot.measure, options.image, options.runs),
        "memory": partial(memory.measure, options.image, options.seconds),
        "roots": partial(roots.measure, options.image, list(roots.MODES), least=True),
        "segments": partial(segments.measure, segments.RECIPES),
        "store": partial(store.measure, store.SIZES),
    }
    for section, measure in sections.items():
        figures = measure()
        print(figures, end="\n\n", flush=True)
        if options.markdown:
            text.keep(section, figures)


if __name__ == "__main__":
    main()
