"""nginx's access log as requests; the form of a line is `muster.services.nginx:LOG_FORMAT`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(r'([\d.]+) (\S+) "(\S+) (\S+) [^"]*" (\d+) (\d+) ([\d.]+) (\S+)')


@dataclass(frozen=True)
class Request:
    """One answered request. Times in seconds: `ended` since 1970, `took` from first byte read to last byte sent,
    `app` of it in the app (None when nginx answered by itself). `sent` is bytes with headers."""

    ended: float
    client: str
    method: str
    url: str
    status: int
    sent: int
    took: float
    app: float | None

    @property
    def began(self) -> float:
        return self.ended - self.took


def read(text: str) -> list[Request]:
    """The requests of a log, in order; lines of another form (a probe that was no HTTP) are left out."""
    return [_request(match) for line in text.splitlines() if (match := _LINE.fullmatch(line))]


def first(requests: Iterable[Request], part: str) -> Request:
    """The first request whose URL holds `part`. Raises LookupError."""
    for request in requests:
        if part in request.url:
            return request
    raise LookupError(f"no request for {part} in the access log")


def _request(match: re.Match[str]) -> Request:
    ended, client, method, url, status, sent, took, app = match.groups()
    seconds = None if app == "-" else float(app.split(",")[-1])
    return Request(float(ended), client, method, url, int(status), int(sent), float(took), seconds)
