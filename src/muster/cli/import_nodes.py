"""Reads an inventory of nodes in CSV: a line of headers, then a node a line."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from muster.model.errors import RequestError, lines

LARGEST = 64 << 20
HEADERS = {
    "mac": "interfaces.{interface}.mac",
    "address": "interfaces.{interface}.address",
    "ip": "interfaces.{interface}.address",
    "uuid": "machine.uuid",
    "serial": "machine.board_serial",
    "product": "machine.product",
    "bmc": "power.address",
    "driver": "power.driver",
    "profile": "profiles",
}
"""Short headers for what every inventory has; any other is a setting as `muster node set` takes it."""


@dataclass
class Sheet:
    """The rows as settings (with `name`), the line of each, and the headers as they were written."""

    file: str
    rows: list[dict[str, str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def located(self, problem: Mapping[str, Any]) -> tuple[tuple[int, int], str]:
        """A problem that the controller found (model.errors.Problem as JSON): place, `FILE:LINE: COLUMN: MESSAGE`."""
        path, number = tuple(problem["field"]), problem["document"]
        what = self._header(path) if path else problem["subject"]
        line = 1 if number is None else self.lines[number]
        return (line, 0), f"{self.file}:{line}: {what}: {problem['message']}"

    def _header(self, path: tuple[str | int, ...]) -> str:
        """The header of a field as it was written, if there is one: `mac` for `interfaces.0.mac`."""
        key = ".".join(map(str, path))
        if key in self.headers:
            return self.headers[key]
        words = {setting: setting.split(".") for setting in self.headers}
        near = [s for s, parts in words.items() if parts[0] == path[0] and parts[-1] in (str(path[-1]), path[0])]
        return self.headers[near[0]] if len(near) == 1 else key


def read(file: IO[bytes], interface: str) -> Sheet:
    """`interface` names the one that `mac` and `address` are of. Raises RequestError with all that is wrong."""
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise RequestError(f"larger than {LARGEST >> 20} MiB", where=file.name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RequestError(f"is not UTF-8 ({error.reason})", where=f"{file.name}:{line}") from error
    return _read(file.name, text, interface)


def _read(name: str, text: str, interface: str) -> Sheet:
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    sheet, problems = Sheet(name), []
    try:
        headers = [_setting(cell.strip(), interface) for cell in next(reader, [])]
        sheet.headers = dict(zip(headers, (cell.strip() for cell in head.split(separator)), strict=False))
        problems += [f"{name}:1: {fault}" for fault in _faults(headers)]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(headers):
                problems.append(f"{name}:{reader.line_num}: {len(cells)} cells under {len(headers)} headers")
                continue
            sheet.rows.append({key: cell.strip() for key, cell in zip(headers, cells, strict=True)})
            sheet.lines.append(reader.line_num)
    except csv.Error as error:
        problems.append(f"{name}:{reader.line_num}: is not CSV: {error}")
    if problems:
        raise RequestError(lines(problems))
    return sheet


def _setting(header: str, interface: str) -> str:
    word = header.lower()
    if word.startswith("label."):
        return f"labels.{header[6:]}"
    if word == "name":
        return word
    return HEADERS[word].replace("{interface}", interface) if word in HEADERS else header


def _faults(headers: list[str]) -> list[str]:
    twice = sorted({header for header in headers if headers.count(header) > 1})
    return [f"{header or 'a column'} is there twice" for header in twice] + [
        fault
        for fault, is_so in (
            ("there is no column `name`", "name" not in headers),
            ("a column has no header", "" in headers),
        )
        if is_so
    ]
