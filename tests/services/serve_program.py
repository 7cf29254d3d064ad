"""`muster serve` with a stand-in for the app: `python serve_program.py PREFIX`. The rest is real."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from muster import settings
from muster.host.paths import Paths
from muster.model.errors import MusterError
from muster.services import child, running, supervise


def children(paths, configured, key, service):
    app, *rest = child.children(paths, configured, key, service)
    # A copy, run by the system's Python: the services' user need not be able to read this clone.
    stand_in = shutil.copy(Path(__file__).with_name("stand_in_app.py"), paths.prefix)
    return (replace(app, argv=("/usr/bin/python3", str(stand_in), str(configured.app_port))), *rest)


if __name__ == "__main__":
    supervise.children = children
    running.STOP_TIME = 1.0
    running.LARGEST_LOG = 10_000
    paths = Paths.of(sys.argv[1])
    try:
        sys.exit(supervise.serve(paths, settings.read(paths.config)))
    except MusterError as error:
        print(error)
        sys.exit(error.exit_status)
