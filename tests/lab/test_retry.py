"""A UEFI machine whose firmware gave up is noticed, once."""

from pathlib import Path

from muster.lab.retry import ConsoleWatch


def test_noticed_once_for_each_time(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    watch = ConsoleWatch(log)
    assert not watch.firmware_gave_up()
    log.write_bytes(b">>Start PXE over IPv4.\r\n")
    assert not watch.firmware_gave_up()
    with log.open("ab") as file:
        file.write(b"UEFI Interactive ")
        file.flush()
        assert not watch.firmware_gave_up()
        file.write(b"Shell v2.2\r\n")
        file.flush()
        assert watch.firmware_gave_up()
        assert not watch.firmware_gave_up()
        file.write(b"\r\nUEFI Interactive Shell v2.2\r\n")
        file.flush()
        assert watch.firmware_gave_up()
    log.write_bytes(b"")
    assert not watch.firmware_gave_up()
