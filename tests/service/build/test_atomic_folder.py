"""Where a bundle is put: in the place of another, into a mount that has none, or nowhere, said before the work."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.build.atomic_folder import replacing
from service.errors import BuildError
from service.model import bundle
from tests import tiny_bundle
from tests.conftest import REPOSITORY


def put(target: Path) -> bundle.Bundle:
    with replacing(target) as folder:
        tiny_bundle.make(folder)
    return bundle.read(target)


def test_a_bundle_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for _ in range(2):
        put(tmp_path / "a" / "bundle")
        assert [item.name for item in (tmp_path / "a").iterdir()] == ["bundle"]
        (tmp_path / "a" / "bundle" / "stale").touch()


def test_builds_into_one_place_at_once_leave_one_whole_bundle(tmp_path: Path) -> None:
    def build(number: int) -> None:
        with replacing(tmp_path / "bundle") as folder:
            for name in (bundle.MANIFEST, "labels.json"):
                (folder / name).write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(build, range(200)))  # without a lock several fail
    assert [item.name for item in tmp_path.iterdir()] == ["bundle"]
    assert len({file.read_text() for file in (tmp_path / "bundle").iterdir()}) == 1


def test_behind_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "bundle")
    for _ in range(2):
        put(tmp_path / "link")
        assert sorted(item.name for item in tmp_path.iterdir()) == ["bundle", "link"]
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("target", ["file", "file/bundle", "file/a/bundle"])
def test_what_cannot_be_written_is_said_before_the_work(target: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = r"cannot be written: (Not a directory|File exists)\. Choose another --output"
    with pytest.raises(BuildError, match=message), replacing(tmp_path / target):
        pytest.fail("the work began")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_link_that_leads_to_itself_is_said_too(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BuildError, match="Choose another --output"), replacing(tmp_path / "loop"):
        pytest.fail("the work began")


# A mount of its own, which vanishes with the process.
_SCENES = {
    "a volume": ("mount -t tmpfs none $T && mkdir $T/lost+found", "lost+found"),
    "a volume where nothing else can be written": (
        "mount -t tmpfs none $P && mkdir $T && mount -t tmpfs none $T && mount -o remount,ro $P",
        "",
    ),
    "a folder of this disk, mounted": ("mkdir $P/source && mount --bind $P/source $T", ""),
}


def in_a_mount(tmp_path: Path, mount: str, code: str) -> str:
    (tmp_path / "bundle").mkdir()
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this kernel lets nobody mount here")
    script = f'P={tmp_path} T={tmp_path}/bundle; {mount} && exec {sys.executable} -c "$CODE" $T'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script],
        env={
            "CODE": "import sys; from pathlib import Path\ntarget = Path(sys.argv[1])\n" + code,
            "PATH": "/usr/bin:/bin",
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("mount", "kept"), _SCENES.values(), ids=_SCENES)
def test_a_mount_gets_new_contents(mount: str, kept: str, tmp_path: Path) -> None:
    code = """
from tests.service.build.test_atomic_folder import put
put(target)
(target / "stale").touch()
before = {item.name for item in put(target).path.iterdir()}
print(*sorted(before))
"""
    found = in_a_mount(tmp_path, mount, code).split()
    assert found == sorted(
        filter(None, ["labels.json", kept, "manifest.json", "network.int8.onnx", "network.onnx", "samples"])
    )


@pytest.mark.slow
def test_a_read_only_mount_is_said_before_the_work(tmp_path: Path) -> None:
    code = """
from service.build.atomic_folder import replacing
try:
    with replacing(target):
        print("the work began")
except Exception as error:
    print(error)
"""
    said = in_a_mount(tmp_path, "mount -t tmpfs -o ro none $T", code)
    assert said == f"{tmp_path}/bundle cannot be written: Read-only file system. Choose another --output\n"
