"""Templates that go wrong or are hostile: each is stopped, its place is named, and the next request is served."""

import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from muster.model.errors import NotFoundError
from muster.overlays.compose import Composition
from muster.overlays.errors import OverlayError
from muster.overlays.library import Overlays, Rendered
from muster.overlays.render import Laid, Renderer

from .conftest import Write


def contents(rendered: Rendered) -> dict[str, str]:
    return {item.path: item.content.decode() for item in rendered.entries if item.kind == "file"}


def fault(overlays: Overlays, context: dict[str, object]) -> OverlayError:
    with pytest.raises(OverlayError) as caught:
        overlays.render(["a"], context)
    return caught.value


def test_files_are_laid_and_templates_rendered(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/etc/plain", b"\x00\xff{{ node.name }}", 0o640)
    write(
        "site/a/files/etc/motd.j2",
        "{% if true %}\nHello {{ node.name }} in {{ node.labels.rack }}\n{% endif %}\n",
        0o755,
    )
    plain, motd = sorted(overlays.render(["a"], context).entries, key=lambda item: item.path, reverse=True)
    assert (plain.path, plain.content, plain.mode) == ("etc/plain", b"\x00\xff{{ node.name }}", 0o640)
    assert (motd.path, motd.content, motd.mode) == ("etc/motd", b"Hello n1 in r1\n", 0o755)


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("one\n{{ node.nam }}\n", 2, "has no attribute 'nam'"),
        ("one\n\n{{ nowhere }}\n", 3, "'nowhere' is undefined"),
        ("one\n{% if x %}\n", 2, "Unexpected end of template"),
        ("one\n{{ 1 / 0 }}\n", 2, "division by zero"),
        ("{% include 'etc/shadow' %}\n", 1, "etc/shadow"),
        ("{{ node.__class__.__mro__ }}\n", 1, "unsafe"),
        ("a\n{{ node.interfaces.append(1) }}\n", 2, "unsafe"),
    ],
)
def test_an_error_names_overlay_file_line_node(
    overlays: Overlays, write: Write, context: dict[str, object], template: str, line: int, words: str
) -> None:
    write("site/a/files/etc/x.conf.j2", template)
    error = fault(overlays, context)
    assert (error.overlay, error.file, error.line, error.node) == ("a", "files/etc/x.conf.j2", line, "n1")
    assert words in error.message
    assert str(error).startswith(f"overlay a, files/etc/x.conf.j2:{line}, node n1: ")


def test_an_error_in_an_included_fragment_names_the_fragment(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("site/a/include/head.j2", "# a\n# {{ missing }}\n")
    write("site/a/files/etc/x.j2", "{% include 'include/head.j2' %}\n")
    error = fault(overlays, context)
    assert (error.file, error.line) == ("include/head.j2", 2)


def test_fragments_are_of_the_same_overlay_only(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/include/head.j2", "# {{ node.name }}\n")
    write("site/a/files/x.j2", "{% include 'include/head.j2' %}\n")
    write("site/b/files/y.j2", "{% include 'include/head.j2' %}\n")
    assert contents(overlays.render(["a"], context)) == {"x": "# n1\n"}
    with pytest.raises(OverlayError, match=r"overlay b, files/y\.j2:1"):
        overlays.render(["a", "b"], context)


def test_an_error_in_meta_names_its_line(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/etc/x", "")
    write("site/a/meta.yaml", "files:\n  /etc/x:\n    condition: node.nothing == 1\n")
    error = fault(overlays, context)
    assert (error.file, error.line) == ("meta.yaml", 3)
    assert "nothing" in error.message


@pytest.mark.tools
@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{% for a in range(9999999) %}{% endfor %}{% endmacro %}{{ m() }}",
        "{{ 'x' * 10 ** 9 }}",
        "{% set x = (node.name * 10 ** 8) %}{{ x ~ x ~ x ~ x }}",
        "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ range(10 ** 12) | list }}",
        "{{ [[[]] * 99999999] * 9 }}",
    ],
)
def test_endless_and_huge_templates_end(
    overlays: Overlays, write: Write, context: dict[str, object], template: str
) -> None:
    write("site/a/files/etc/x.j2", f"one\n{template}\n")
    begun = time.monotonic()
    error = fault(overlays, context)
    assert time.monotonic() - begun < 8
    assert (error.overlay, error.file, error.node) == ("a", "files/etc/x.j2", "n1")
    assert error.line == 2, error
    write("site/a/files/etc/x.j2", "fine\n")
    assert contents(overlays.render(["a"], context)) == {"etc/x": "fine\n"}


@pytest.mark.tools
def test_a_worker_that_cannot_be_interrupted_is_killed(
    tmp_path: Path, write: Write, context: dict[str, object]
) -> None:
    """One arithmetic operation never returns to Python, so only the parent's clock ends it."""
    overlays = Overlays(tmp_path / "site", renderer=Renderer(wall_seconds=1))
    write("site/a/files/etc/x.j2", "{% set a = 9 ** 9 %}{{ a ** a }}")
    try:
        error = fault(overlays, context)
        assert (error.file, error.message) == ("files/etc/x.j2", "takes longer than 1 s")
        write("site/a/files/etc/x.j2", "fine")
        assert contents(overlays.render(["a"], context)) == {"etc/x": "fine"}
    finally:
        overlays.close()


# Ways out of a template that is not in a sandbox, and some that were ways out of older sandboxes.
@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ self._TemplateReference__context.environment }}",
        "{% set f = '{0.__class__.__mro__}'.format %}{{ f(1) }}",
        "{{ '{0.__class__.__mro__}' | attr('format')(1) }}",
        "{{ node | attr('__class__') | attr('__base__') }}",
        "{{ ['{0.__class__}'] | map('format', 1) | list }}",
        "{{ lipsum.__globals__['os'].system('id') }}",
        "{{ open('/etc/shadow').read() }}",
        "{% include '/etc/shadow' %}",
        "{% import '/etc/shadow' as x %}",
        "{% extends '../../../../etc/shadow' %}",
        "{{ dict.mro() }}",
    ],
)
def test_ways_out_of_the_sandbox_give_nothing(
    overlays: Overlays, write: Write, context: dict[str, object], template: str
) -> None:
    write("site/a/files/x.j2", template)
    try:
        text = contents(overlays.render(["a"], context))["x"]
    except OverlayError:
        return
    assert not any(word in text for word in ("root:", "uid=", "<class", "__mro__", "module 'os'")), text


def test_workers_are_not_lost_and_close_ends_them(tmp_path: Path, write: Write, context: dict[str, object]) -> None:
    renderer = Renderer(workers=2)
    overlays = Overlays(tmp_path / "site", renderer=renderer)
    write("site/a/files/x.j2", "{{ node.name }}")
    results: list[str] = []

    def ask(number: int) -> None:
        node = {**context["node"], "name": f"n{number}"}
        results.append(contents(overlays.render(["a"], {**context, "node": node}))["x"])

    for_all(20, ask)
    assert sorted(results) == sorted(f"n{number}" for number in range(20))
    workers = children_named("muster.overlays.worker")
    overlays.close()
    assert len(workers) >= 2
    assert len(children_named("muster.overlays.worker")) <= len(workers) - 2


def test_idle_workers_that_were_killed_are_replaced(tmp_path: Path, write: Write, context: dict[str, object]) -> None:
    renderer = Renderer(workers=3)
    overlays = Overlays(tmp_path / "site", renderer=renderer)
    before = children_named("muster.overlays.worker")
    write("site/a/files/x.j2", "{{ node.name }}{% for a in range(99999) %}{% endfor %}")
    try:
        for_all(3, lambda number: overlays.render(["a"], {**context, "extra": number}))
        workers = children_named("muster.overlays.worker") - before
        assert workers
        for worker in workers:
            os.kill(worker, 9)
        write("site/a/files/x.j2", "again {{ node.name }}")
        assert contents(overlays.render(["a"], context)) == {"x": "again n1"}
    finally:
        overlays.close()


def for_all(count: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def children_named(words: str) -> set[int]:
    """Our own child processes whose command line has these words."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            if words.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(int(child))
    return found


def test_for_each_makes_one_file_per_interface(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/etc/net/IFACE.j2", "{{ interface.mac }} on {{ node.name }}\n")
    write(
        "site/a/meta.yaml",
        "files:\n  /etc/net/IFACE: {for_each: interfaces, target: '/etc/net/{{ interface.name }}.conf',"
        " condition: interface.boot or interface.name == 'eth1'}\n",
    )
    assert contents(overlays.render(["a"], context)) == {
        "etc/net/eth0.conf": "52:54:00:00:00:01 on n1\n",
        "etc/net/eth1.conf": "52:54:00:00:00:02 on n1\n",
    }


@pytest.mark.parametrize(
    "target", ["../etc/x", "/../etc/x", "/a//b", "etc/x", "/", "/a\n", "/.wh.x", "/a/\x7f", "/" + "a" * 256]
)
def test_a_rendered_name_may_not_leave_the_root(
    overlays: Overlays, write: Write, context: dict[str, object], target: str
) -> None:
    write("site/a/files/x", "")
    write("site/a/meta.yaml", "files:\n  /x: {target: '{{ node.labels.t }}'}\n")
    context["node"]["labels"]["t"] = target
    assert fault(overlays, context).overlay == "a"


def test_two_results_of_one_name_are_refused(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/x", "")
    write("site/a/meta.yaml", "files:\n  /x: {for_each: interfaces, target: /etc/x}\n")
    assert "same name" in fault(overlays, context).message


def test_equal_requests_are_answered_from_the_cache_and_edits_are_seen(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    file = write("site/a/files/x.j2", "one {{ node.name }}")
    first = overlays.render(["a"], context)
    again = overlays.render(["a"], context)
    assert again == first and all(a is b for a, b in zip(again.entries, first.entries, strict=True))
    state = file.stat()
    file.write_text("two {{ node.name }}")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert contents(overlays.render(["a"], context)) == {"x": "two n1"}
    file.write_text("one {{ node.name }}")
    assert overlays.render(["a"], context).sha256 == first.sha256


def test_a_file_for_run_time_is_not_in_the_boot_archive(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("site/a/files/now", "")
    write("site/a/files/later", "")
    write("site/a/meta.yaml", "files:\n  /now: {when: boot}\n  /later: {when: runtime}\n")
    assert set(contents(overlays.render(["a"], context))) == {"now"}
    assert set(contents(overlays.render(["a"], context, moment="runtime"))) == {"later"}


def test_an_unknown_overlay_is_named(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("shipped/base/files/x", "")
    for name in ("bsae", "../base", "", "/etc"):
        with pytest.raises(NotFoundError, match="known overlays: base"):
            overlays.render([name], context)


def test_equal_requests_at_once_render_once(tmp_path: Path, write: Write, context: dict[str, object]) -> None:
    renderer = Counting()
    overlays = Overlays(tmp_path / "site", renderer=renderer)
    write("site/a/files/x.j2", "{% for a in range(9999) %}{% endfor %}{{ node.name }}")
    try:
        for_all(8, lambda _: overlays.render(["a"], context))
        assert renderer.count == 1
    finally:
        overlays.close()


class Counting(Renderer):
    """A renderer that counts."""

    count = 0

    def render(self, composition: Composition, context: Mapping[str, object]) -> tuple[Laid, ...]:
        self.count += 1
        return super().render(composition, context)


@pytest.mark.tools
def test_workers_end_with_a_server_that_was_killed(write: Write, tmp_path: Path) -> None:
    """One worker idle, one in an endless loop; the server dies by SIGKILL."""
    write("site/a/files/x.j2", "fine")
    write("site/b/files/x.j2", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    program = (
        "import os, sys, threading, time\nfrom pathlib import Path\nfrom muster.overlays.library import Overlays\n"
        "o = Overlays(Path(sys.argv[1]))\n"
        "threading.Thread(target=o.render, args=(['b'], {}), daemon=True).start()\ntime.sleep(0.3)\n"
        "o.render(['a'], {})\n"
        "print(Path(f'/proc/self/task/{os.getpid()}/children').read_text(), flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "site")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert done.stderr == ""
    workers = [Path("/proc") / pid for pid in done.stdout.split()]
    deadline = time.monotonic() + 10
    while any(running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers if running(worker)]


def running(folder: Path) -> bool:
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_node_costs_little(overlays: Overlays, context: dict[str, object], write: Write) -> None:
    for number in range(30):
        write(f"site/a/files/f{number}.j2", "{% for i in range(100) %}{{ node.name }}\n{% endfor %}")
    overlays.render(["a"], context)
    context["cluster"] = {
        "nodes": [{"name": f"n{i}", "addresses": [f"10.0.{i // 250}.{i % 250}"]} for i in range(1000)]
    }
    overlays.render(["a"], context)
    begun = time.monotonic()
    context["node"]["name"] = "n2"
    overlays.render(["a"], context)
    assert time.monotonic() - begun < 0.1


def test_what_is_of_the_cluster_is_rendered_once_for_all_nodes(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("site/a/meta.yaml", "files:\n  /etc/hosts: {scope: cluster}\n")
    write("site/a/files/etc/hosts.j2", "{% for n in cluster.nodes %}{{ n.name }}\n{% endfor %}{{ image.name }}")
    write("site/a/files/etc/hostname.j2", "{{ node.name }}")
    context["cluster"] = {"name": "c1", "nodes": [{"name": "n1"}, {"name": "n2"}]}
    first = overlays.render(["a"], context)
    context["node"]["name"] = "n2"
    second = overlays.render(["a"], context)
    assert contents(second) == {"etc/hosts": "n1\nn2\ndebian", "etc/hostname": "n2"}
    (hosts, again) = (next(e for e in r.entries if e.path == "etc/hosts") for r in (first, second))
    assert hosts is again


def test_a_scope_sees_only_its_own(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/meta.yaml", "files:\n  /x: {scope: cluster}\n")
    write("site/a/files/x.j2", "{{ node.name }}")
    error = fault(overlays, context)
    assert "'node' is undefined" in error.message and error.where == "overlay a, files/x.j2:1"
    write("site/a/files/x.j2", "x")
    write("site/a/files/y.j2", "{{ cluster.nodes }}")
    assert "nodes" in fault(overlays, context).message


def test_the_nodes_own_file_wins_over_the_clusters(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("site/a/meta.yaml", "files:\n  /x: {scope: cluster}\n  /x.OWN: {target: /x}\n")
    write("site/a/files/x", "for all")
    write("site/a/files/x.OWN.j2", "for {{ node.name }}")
    rendered = overlays.render(["a"], context)
    assert contents(rendered) == {"x": "for n1"}
    with tarfile.open(fileobj=io.BytesIO(rendered.data)) as archive:
        assert archive.getnames() == ["x"]
