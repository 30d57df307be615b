"""Parts of an image: an archive others can read, modules in order, a manifest believed only when whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from minoots_activities.vms import images, modules
from minoots_activities.vms.cpio import Archive
from minoots_activities.vms.faults import ImageFault


def module(folder: Path, name: str, *needs: str) -> Path:
    """A file that looks like a kernel module to who reads what it depends on."""
    path = folder / "kernel" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\x00license=GPL\x00depends=" + ",".join(needs).encode() + b"\x00name=x\x00")
    return path


def test_modules_come_after_those_that_they_need(tmp_path: Path) -> None:
    module(tmp_path, "virtio_pci.ko", "virtio_ring", "virtio")
    module(tmp_path, "virtio_ring.ko", "virtio")
    module(tmp_path, "virtio.ko")
    module(tmp_path, "virtio-rng.ko", "virtio", "built_in")
    names = [path.name for path in modules.in_order(tmp_path, ["virtio_rng", "virtio_pci", "built_in_too"])]
    assert names == ["virtio.ko", "virtio-rng.ko", "virtio_ring.ko", "virtio_pci.ko"]


def test_a_kernel_without_modules_or_with_compressed_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFault, match="no kernel modules"):
        modules.in_order(tmp_path)
    module(tmp_path, "virtio.ko.xz")
    with pytest.raises(ImageFault, match="compressed"):
        modules.in_order(tmp_path, ["virtio"])


def test_an_archive_holds_what_was_added(tmp_path: Path) -> None:
    archive = Archive()
    archive.folder("bin")
    archive.file("bin/tool", b"#!/bin/sh\n", executable=True)
    archive.file("empty", b"")
    archive.link("bin/same", "tool")
    data = archive.close()
    assert len(data) % 4 == 0
    try:
        said = subprocess.run(["cpio", "-itv"], input=data, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("cpio is not installed")
    lines = said.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"]
    assert lines[-1].endswith("bin/same -> tool")


def whole(folder: Path) -> Path:
    folder.mkdir()
    (folder / images.KERNEL).write_bytes(b"kernel")
    (folder / images.INITRAMFS).write_bytes(b"files")
    images.describe(folder, images.About(1, "x86_64", {"linux": "6.1"}, images.sums(folder)))
    return folder


def test_an_image_is_what_was_built_or_refused(tmp_path: Path) -> None:
    folder = whole(tmp_path / "image")
    image = images.load(folder, 1)
    assert image.about.packages == {"linux": "6.1"}
    digest = image.digest
    assert images.load(folder, 1).digest == digest
    with pytest.raises(ImageFault, match="version 1; this is version 2"):
        images.load(folder, 2)
    (folder / images.KERNEL).write_bytes(b"another")
    with pytest.raises(ImageFault, match="not what was built"):
        images.load(folder, 1)


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", json.dumps({"protocol": 1})])
def test_an_image_without_a_manifest_that_says_all_is_refused(tmp_path: Path, manifest: str | None) -> None:
    folder = whole(tmp_path / "image")
    path = folder / images.MANIFEST
    if manifest is None:
        path.unlink()
    else:
        path.write_text(manifest)
    with pytest.raises(ImageFault, match="minoots vm build-image"):
        images.load(folder, 1)
