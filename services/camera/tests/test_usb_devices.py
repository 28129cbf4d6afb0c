"""The list of a machine's cameras, from a tree like Linux's."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from camera.adapters.usb_devices import UsbDevice, UsbWatch, captures, usb_devices


class Machine:
    """A machine whose cameras can be plugged in and out."""

    def __init__(self, root: Path) -> None:
        self.sysfs = root / "class" / "video4linux"
        self.sysfs.mkdir(parents=True)
        self._devices = root / "devices" / "pci0000:00" / "usb1"

    def plug(self, number: int, socket: str, name: str = "HD Webcam", index: int = 0) -> None:
        place = self._devices / socket
        place.mkdir(parents=True, exist_ok=True)
        entry = self.sysfs / f"video{number}"
        entry.mkdir()
        (entry / "name").write_text(f"{name}\n")
        (entry / "index").write_text(f"{index}\n")
        (entry / "device").symlink_to(place)

    def unplug(self, number: int) -> None:
        entry = self.sysfs / f"video{number}"
        for part in entry.iterdir():
            part.unlink()
        entry.rmdir()

    def devices(self) -> Sequence[UsbDevice]:
        return usb_devices(self.sysfs, lambda _: None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_devices_have_number_name_index_and_the_path_of_their_socket(machine: Machine) -> None:
    machine.plug(10, "1-2:1.0", "Door")
    machine.plug(2, "1-1:1.0", "Desk")
    assert machine.devices() == (
        UsbDevice(2, "Desk", 0, "pci0000:00/usb1/1-1:1.0"),
        UsbDevice(10, "Door", 0, "pci0000:00/usb1/1-2:1.0"),
    )
    assert str(machine.devices()[1].node) == "/dev/video10"


def test_the_path_stays_when_a_camera_comes_back_under_another_number(machine: Machine) -> None:
    machine.plug(0, "1-1:1.0")
    (before,) = machine.devices()
    machine.unplug(0)
    assert machine.devices() == ()
    machine.plug(3, "1-1:1.0")
    (after,) = machine.devices()
    assert (after.number, after.bus_path) == (3, before.bus_path)


def test_nodes_for_metadata_are_no_cameras(machine: Machine) -> None:
    machine.plug(0, "1-1:1.0", index=0)
    machine.plug(1, "1-1:1.0", index=1)
    assert [device.number for device in machine.devices()] == [0]
    second_only = usb_devices(machine.sysfs, lambda node: node.name == "video1")
    assert [device.number for device in second_only] == [1]


def test_what_vanishes_while_it_is_read_or_is_no_device_is_left_out(machine: Machine) -> None:
    machine.plug(0, "1-1:1.0")
    (machine.sysfs / "video0" / "name").unlink()
    (machine.sysfs / "video-loopback").mkdir()
    machine.plug(1, "1-2:1.0", index=0)
    (machine.sysfs / "video1" / "index").write_text("first")
    assert machine.devices() == ()


def test_a_machine_without_video_has_no_cameras(tmp_path: Path) -> None:
    assert usb_devices(tmp_path / "nothing") == ()


def test_a_file_that_is_no_device_does_not_say_what_it_is_for(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    assert captures(file) is None
    file.write_bytes(b"")
    assert captures(file) is None


def test_the_watch_tells_at_the_start_and_after_every_change(machine: Machine) -> None:
    told: list[list[int]] = []
    watch = UsbWatch(
        lambda devices: told.append([device.number for device in devices]),
        devices=machine.devices,
    )
    watch.look()
    watch.look()
    machine.plug(0, "1-1:1.0")
    watch.look()
    watch.look()
    machine.unplug(0)
    watch.look()
    assert told == [[], [0], []]


def test_the_watch_ends_when_it_is_asked_to(machine: Machine) -> None:
    stop = threading.Event()
    looks: list[int] = []

    def once(devices: Sequence[UsbDevice]) -> None:
        looks.append(len(devices))
        stop.set()

    UsbWatch(once, devices=machine.devices).run(stop)
    assert looks == [0]


def test_the_log_tells_which_devices_there_are(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.plug(0, "1-1:1.0", "Desk")
    UsbWatch(devices=machine.devices).look()
    logged = capsys.readouterr().out
    assert "usb_devices" in logged
    assert "Desk at pci0000:00/usb1/1-1:1.0" in logged
