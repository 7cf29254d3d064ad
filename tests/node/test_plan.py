"""The plan is data: read by line, never evaluated."""

import stat

from tests.node.conftest import Shell

TAKE = 'http_body="$(cat "$1")\n"\nplan_take || { echo "$plan_error"; exit 0; }\n'


def take(shell: Shell, plan: str, script: str) -> list[str]:
    file = shell.run / "answer.text"
    file.write_text(plan)
    return shell(TAKE + script, str(file))


def test_values_are_what_was_written(shell: Shell) -> None:
    plan = 'muster-plan\t1\nreason\t  $(reboot) `id` \\n "x" \nunknown\tthing\nempty\t\n'
    script = (
        'plan_value reason; echo "[$value]"; plan_value empty; echo "[$value]$?"; plan_value none; echo "[$value]$?"'
    )
    assert take(shell, plan, script) == ['[  $(reboot) `id` \\n "x" ]', "[]0", "[]1"]


def test_repeated_keys_keep_their_order(shell: Shell) -> None:
    plan = "muster-plan\t1\nroot.url\thttp://a/1\nmode\tram\nroot.url\thttp://b/1\n"
    assert take(shell, plan, 'show() { echo "<$1>"; }\nplan_each root.url show') == ["<http://a/1>", "<http://b/1>"]


def test_the_token_is_kept_apart_and_private(shell: Shell) -> None:
    plan = "muster-plan\t1\nboot\tb\ntoken\tsecret.1\nnode\tn1\n"
    assert take(shell, plan, 'echo "$plan_text"; echo "$http_token"') == [
        "",
        "muster-plan\t1",
        "boot\tb",
        "node\tn1",
        "",
        "secret.1",
    ]
    assert stat.S_IMODE((shell.run / "token").stat().st_mode) == 0o600


def test_another_version_is_refused_with_words(shell: Shell) -> None:
    assert take(shell, "muster-plan\t2\n", "") == ["the plan has version 2, this node's software knows version 1"]


def test_what_is_no_plan_is_refused(shell: Shell) -> None:
    assert take(shell, "hello\nmuster-plan\t1\n", "") == ["the answer of the controller is no plan"]


def test_numbers_and_digests_are_checked(shell: Shell) -> None:
    plan = f"muster-plan\t1\na\t12\nb\t12x\nc\t{'ab' * 32}\nd\t{'ab' * 31}\ne\t{'AB' * 32}\n"
    script = "for k in a b z; do plan_number $k; echo $?; done; for k in c d e; do plan_digest $k; echo $?; done"
    assert take(shell, plan, script) == ["0", "1", "1", "0", "1", "1"]


def test_kernel_arguments(shell: Shell) -> None:
    (shell.run / "cmdline").write_text(
        "initrd=x muster.server=http://10.77.0.1:9898/ BOOTIF=01-52-54-00-AB-00-01 muster.break=root *"
        " ip=10.0.0.5::10.0.0.1:255.255.252.0:n1:eth0 muster.debug console=ttyS0\n"
    )
    script = 'read_arguments "$run/cmdline"; echo "$server $bootif $break_stage $debug $static"'
    assert shell(script) == ["http://10.77.0.1:9898 52:54:00:ab:00:01 root 1 10.0.0.5::10.0.0.1:255.255.252.0:n1:eth0"]


def test_netmasks(shell: Shell) -> None:
    shell.parts = ["net", *shell.parts]
    script = (
        "for m in 255.255.255.0 255.255.252.0 0.0.0.0 255.255.255.255 20; do net_prefix_of $m; echo $net_prefix; done"
    )
    assert shell(script) == ["24", "22", "0", "32", "20"]


def test_the_ip_argument(shell: Shell) -> None:
    shell.parts = ["net", *shell.parts]
    script = 'net_static 10.0.0.5::10.0.0.1:255.255.252.0:n1:eth0; echo "$net_address/$net_prefix via $net_router"'
    assert shell(script) == ["10.0.0.5/22 via 10.0.0.1"]


def test_facts_name_the_machine_and_what_it_has(shell: Shell) -> None:
    shell.parts = ["facts", *shell.parts]
    script = (
        "bootif=52:54:00:00:00:01 net_address=10.77.0.11 net_prefix=24\n"
        'stage_times="stage${TAB}modules 1.50$NEWLINE"\nfacts_write "$run/hello"; cat "$run/hello"'
    )
    lines = shell(script)
    facts = dict(line.split("\t", 1) for line in lines)
    assert lines[0] == "muster-hello\t1"
    assert lines[-1] == "stage\tmodules 1.50"
    assert facts["address"] == "10.77.0.11/24"
    assert facts["firmware"] in ("bios", "uefi")
    assert int(facts["memory"]) > 0
    assert int(facts["cpus"]) > 0
    assert stat.S_IMODE((shell.run / "hello").stat().st_mode) == 0o600


def test_servers_take_turns_after_a_failure(shell: Shell) -> None:
    shell.parts = ["root-ram", *shell.parts]
    plan = "muster-plan\t1\nroot.url\ta\nroot.url\tb\nroot.url\tc\n"
    script = "for failures in 0 1 2 3; do servers_in_turn; echo $servers; done"
    assert take(shell, plan, script) == ["a b c", "b c a", "c a b", "a b c"]
