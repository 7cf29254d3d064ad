"""What can be wrong with an overlay, always with its place: overlay, file, line and node."""

from muster.model.errors import RequestError


class OverlayError(RequestError):
    """An overlay cannot be read, composed or rendered; `where` names the overlay, its file, the line and the node.

    `file` is relative to the overlay's folder (`files/etc/hosts.j2`, `meta.yaml`); line 0 means the whole file.
    """

    http_status = 409

    def __init__(
        self, message: str, *, overlay: str, file: str = "", line: int = 0, node: str = "", hint: str = ""
    ) -> None:
        place = f"{file}:{line}" if line else file
        parts = [f"overlay {overlay}", place, f"node {node}" if node else ""]
        super().__init__(message, where=", ".join(part for part in parts if part), hint=hint)
        self.overlay = overlay
        self.file = file
        self.line = line
        self.node = node
