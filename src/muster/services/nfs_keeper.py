"""Keeps the NFS service at what the world says: writes what is to be exported and tells the supervisor.

No file, no service: it goes when no node needs it any more. That an app was killed between writing and telling does
no harm, because a new one tells once anyway, and telling again changes nothing.
"""

from collections.abc import Callable, Sequence

from muster.host.paths import Paths
from muster.services import nfs
from muster.services.keeper import Keeper, replace
from muster.services.nfs import Wanted


class NfsKeeper(Keeper):
    """`wanted` gives what is to be exported now, None when nobody needs it; `tell` sends one command to the
    supervisor; `children` are the names of those that export."""

    def __init__(
        self,
        paths: Paths,
        children: Sequence[str],
        wanted: Callable[[], Wanted | None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__("nfs")
        self._file = paths.run / nfs.WANTED
        self._children = children
        self._wanted = wanted
        self._tell = tell
        self._told: str | None = None

    def settle(self) -> None:
        wanted = self._wanted() if self._children else None
        if wanted is None:
            self._file.unlink(missing_ok=True)
            self._tell_all("stop")
            return
        if replace(self._file, nfs.render(wanted)):
            self._told = None
        self._tell_all("reload")

    def _tell_all(self, verb: str) -> None:
        if self._told == verb:
            return
        for name in self._children:
            self._tell(f"{verb} {name}")
        self._told = verb
