"""Golden files: texts that a person reviews. `pytest --update-golden` writes them anew; read the diff."""

from pathlib import Path


def compare(path: Path, text: str, update: bool) -> None:
    """Fail with the command that writes the file anew when `text` is not what `path` holds."""
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    expected = path.read_text() if path.is_file() else ""
    assert text == expected, f"{path} differs: pytest {path.parent.parent} --update-golden, then read the diff"
