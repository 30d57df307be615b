"""The tier `container` by docker's client: the same walls, in its words. What answers it here is podman."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import container_images
import docker_stand_in
import pytest
from shut_in import Try, of_the_dead

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.engine_words import Wanted, docker_create, podman_run, removal
from minoots_activities.sandboxes.engines import ContainerEngine
from minoots_activities.sandboxes.names import name_of
from minoots_activities.sandboxes.port import Ended, NeverStarted
from minoots_activities.sandboxes.tiers import Tiers

Open = Callable[..., Awaitable[Try]]

WANTED = Wanted(
    name="minoots-x",
    image="registry.example/a@sha256:" + "0" * 64,
    size_mb=32,
    user=65534,
    files=1024,
    processes=500,
    folders={"/.minoots": Path("/srv/a"), "/run/minoots": Path("/srv/b")},
    entry=("/.minoots/loader", "-I", "guest"),
)
WALLS = {
    "--network none",
    "--read-only",
    "--cap-drop all",
    "--security-opt no-new-privileges",
    "--user 65534:65534",
    "--pull never",
    "--ulimit nofile=1024:1024",
    "--ulimit nproc=500:500",
    "--shm-size 32m",
    "--no-healthcheck",
    "--log-driver none",
    "--volume /srv/a:/.minoots:ro",
    "--volume /srv/b:/run/minoots:ro",
    "--entrypoint /.minoots/loader registry.example/a@sha256:" + "0" * 64 + " -I guest",
}


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (
            podman_run(WANTED),
            {
                "run --rm",
                "--image-volume ignore",
                "--http-proxy=false",
                "--mount type=tmpfs,tmpfs-size=32m,tmpfs-mode=1777,U=true,notmpcopyup,destination=/work",
                "--mount type=tmpfs,tmpfs-size=32m,tmpfs-mode=1777,U=true,notmpcopyup,destination=/tmp",
            },
        ),
        (
            docker_create(WANTED, ["/cache"]),
            {
                "create --rm",
                "--mount type=tmpfs,dst=/cache,tmpfs-size=4096,readonly",
                "--tmpfs /work:rw,exec,nosuid,nodev,size=32m,mode=1777",
                "--tmpfs /tmp:rw,exec,nosuid,nodev,size=32m,mode=1777",
            },
        ),
    ],
    ids=["podman", "docker"],
)
def test_every_wall_stands_in_the_words_of_each_engine(command: list[str], own: set[str]) -> None:
    said = " ".join(command)
    assert {wall for wall in WALLS | own if f" {wall} " not in f" {said} "} == set()
    assert "--privileged" not in said


def test_who_is_not_root_has_containers_of_his_own_user() -> None:
    said = " ".join(podman_run(replace(WANTED, as_worker=True)))
    assert "--userns keep-id:uid=65534,gid=65534 " in said
    assert "--userns" not in " ".join(podman_run(WANTED))


def test_docker_is_told_no_word_that_only_podman_knows() -> None:
    said = " ".join([*docker_create(WANTED, []), *removal("docker", "x")])
    for word in ("--http-proxy", "--no-hosts", "--image-volume", "--read-only-tmpfs", "--ignore", "--time"):
        assert word not in said


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerEngine]:
    """Docker's client, and somebody who answers it; skips, with the reason, where it cannot be had."""
    lacks = docker_stand_in.lacks()
    if lacks:
        pytest.skip(lacks)
    with docker_stand_in.docker_host() as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        yield ContainerEngine("docker")


@pytest.fixture(scope="module")
def images() -> Iterator[tuple[str, ...]]:
    """An image as images usually are, where one can be made."""
    with container_images.made_image(plain=True) as image:
        yield () if image is None else (image,)


@pytest.fixture
async def by_docker(docker: ContainerEngine, images: tuple[str, ...]) -> AsyncIterator[Open]:
    """Opens containers by docker's client."""
    tiers = Tiers(vm_image=Path("none"), images=images, engine=docker)
    if not images:
        pytest.skip(docker_stand_in.lacks() or "no image can be made here")
    lacks = tiers._containers._lacks()
    if lacks:
        pytest.skip("; ".join(lacks))
    async with AsyncExitStack() as stack:

        async def open_one(**limits: Any) -> Try:
            sandbox = await tiers.create(Tier.CONTAINER, "test", Limits(**{"time": "60s", **limits}))
            stack.push_async_callback(sandbox.destroy)
            return Try(sandbox)

        yield open_one


async def test_a_program_runs_in_the_image_by_docker(by_docker: Open) -> None:
    box = await by_docker()
    assert box.sandbox.held_by["engine"] == "docker"
    assert box.sandbox.held_by["memory"] == "cgroup"
    await box.sandbox.put("run.sh", b"#!/bin/sh\necho ran; id -u; ls /work\n", executable=True)
    said = await box.sh(
        "./run.sh; echo x > /tmp/a && cat /tmp/a; grep -E '^(CapEff|NoNew)' /proc/self/status"
    )
    ran = ["ran", "65534", "run.sh", "x"]
    assert said.out.split() == [*ran, "CapEff:", "0000000000000000", "NoNewPrivs:", "1"], said


async def test_nothing_but_its_folders_in_memory_can_be_written(by_docker: Open) -> None:
    box = await by_docker(disk_mb=16)
    said = await box.sh(
        "for d in / /etc /cache /bin /.minoots /run/minoots; do echo x > $d/x && echo WROTE; done 2>&-;"
        "head -c 20000000 /dev/zero > /work/big; wc -c < /work/big; ls -d /sys/class/net/*"
    )
    assert "WROTE" not in said.out
    size, *nets = said.out.split()
    assert int(size) <= 16 * 1024 * 1024
    assert nets == ["/sys/class/net/lo"]


async def test_memory_and_processes_are_held_by_our_control_group(by_docker: Open) -> None:
    box = await by_docker(memory_mb=128, processes=20)
    said = await box.python("x = []\nwhile True:\n    x.append(b'x' * 8_000_000)")
    assert said.ran.ended is Ended.OUT_OF_MEMORY, said
    assert box.sandbox.held_by["processes"] == "cgroup"
    said = await box.sh("for i in $(seq 60); do sleep 5 & done; echo all of them")
    assert "fork" in said.err, said
    assert (await box.sh("echo alive")).out == "alive\n"


async def test_what_the_dead_left_is_removed_by_docker(
    docker: ContainerEngine, by_docker: Open, images: tuple[str, ...]
) -> None:
    await by_docker()
    left, mine = of_the_dead("x"), name_of("x")
    tiers = Tiers(vm_image=Path("none"), images=images, engine=docker)
    try:
        for name in (left, mine):
            code, told = await docker.ask(
                "create", "--name", name, "--pull", "never", "--network", "none", *images, "true"
            )
            assert code == 0, told
        await tiers._containers.remove_left_behind()
        there = await docker.names("minoots-sandbox-")
        assert left not in there
        assert mine in there
    finally:
        await asyncio.gather(docker.remove(left), docker.remove(mine))


async def test_a_container_is_gone_when_it_is_destroyed(docker: ContainerEngine, by_docker: Open) -> None:
    box = await by_docker()
    [name] = await docker.names(name_of("test").rpartition("-")[0])
    await box.sandbox.destroy()
    assert name not in await docker.names("minoots-sandbox-")


async def test_an_engine_that_does_not_answer_is_told_and_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: tuple[str, ...]
) -> None:
    lacks = docker_stand_in.lacks()
    if lacks or not images:
        pytest.skip(lacks or "no image can be made here")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    tiers = Tiers(vm_image=Path("none"), images=images, engine=ContainerEngine("docker"))
    with pytest.raises(NeverStarted, match="docker"):
        await tiers.create(Tier.CONTAINER, "x", Limits())


def program(folder: Path, name: str, says: str) -> None:
    """Put something called like an engine into a folder."""
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


async def test_which_engine_it_is_says_the_program_and_not_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "docker", "podman version 4.3.1")
    assert await ContainerEngine("docker").kind() == "podman"
    program(tmp_path, "docker", "Docker version 28.2.2, build e6534b4")
    assert await ContainerEngine("docker").kind() == "docker"
    program(tmp_path, "docker", "nerdctl version 2")
    with pytest.raises(OSError, match="neither podman nor docker"):
        await ContainerEngine("docker").kind()


def test_podman_is_taken_where_both_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ContainerEngine().binary == "podman"
    program(tmp_path, "docker", "x")
    assert ContainerEngine().binary == "docker"
    program(tmp_path, "podman", "x")
    assert ContainerEngine().binary == "podman"
    assert ContainerEngine("docker").binary == "docker"
