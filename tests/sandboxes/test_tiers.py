"""A tier is given or refused, and never replaced by a weaker one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from shut_in import Open, Try

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import FailureKind
from minoots_activities.sandboxes import bubblewrap
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.starting import held, start
from minoots_activities.sandboxes.tiers import Network, Tiers
from minoots_platform.network_rules import Rules
from minoots_platform.settings import Settings
from minoots_workers.parts import tiers_of


async def test_the_weakest_tier_is_refused_unless_settings_allow_it() -> None:
    with pytest.raises(NeverStarted, match=r"sandbox\.allow_process is off"):
        await Tiers(vm_image=Path("none")).create(Tier.PROCESS, "x", Limits())


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"memory_mb": 4097}, r"limits\.memory_mb is 4097, and .* no more than 4096"),
        ({"disk_mb": 1_048_576}, r"limits\.disk_mb is 1048576"),
        ({"cpus": 4.5}, r"limits\.cpus is 4\.5"),
        ({"processes": 1025}, r"limits\.processes is 1025"),
    ],
)
async def test_limits_are_held_under_the_ceilings_of_the_operator(limits: dict[str, Any], says: str) -> None:
    tiers = Tiers(vm_image=Path("none"), allow_process=True)
    with pytest.raises(NeverStarted, match=says) as refused:
        await tiers.create(Tier.PROCESS, "x", Limits(**limits))
    assert refused.value.kind is FailureKind.INVALID
    assert refused.value.remedy is not None
    assert f"sandbox.max_{next(iter(limits))}" in refused.value.remedy


async def test_a_tier_that_the_operator_does_not_allow_is_refused() -> None:
    settings = Settings.model_validate({"sandbox": {"tiers": ["vm"]}})
    with pytest.raises(NeverStarted, match="bubblewrap may not be used") as refused:
        await tiers_of(settings).create(Tier.BUBBLEWRAP, "x", Limits())
    assert refused.value.kind is FailureKind.DENIED
    assert "sandbox.tiers" in str(refused.value.remedy)


async def test_a_tier_that_cannot_hold_a_program_to_hosts_says_so() -> None:
    network = Network(most=Rules.parse(["*"]))
    tiers = Tiers(vm_image=Path("none"), allow_process=True, network=network)
    with pytest.raises(NeverStarted, match="shuts nothing in") as refused:
        await tiers.create(Tier.PROCESS, "x", Limits(), network=["example.org"])
    assert refused.value.kind is FailureKind.INVALID


async def test_hosts_that_the_operator_does_not_allow_are_refused() -> None:
    settings = Settings.model_validate({"sandbox": {"network": {"hosts": ["*.example.org:443"]}}})
    with pytest.raises(NeverStarted, match=r"not reach here: a\.example\.org:80, other\.org:80") as refused:
        await tiers_of(settings).create(
            Tier.BUBBLEWRAP, "x", Limits(), network=["a.example.org", "other.org:80"]
        )
    assert refused.value.kind is FailureKind.DENIED
    assert "sandbox.network.hosts" in str(refused.value.remedy)


async def test_what_a_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NeverStarted, match="apt install bubblewrap"):
        await Tiers(vm_image=Path("none"), allow_process=True).create(Tier.BUBBLEWRAP, "x", Limits())


async def test_an_architecture_without_a_filter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap.seccomp, "supported", lambda: False)
    with pytest.raises(NeverStarted, match="no table of system calls"):
        await Tiers(vm_image=Path("none"), allow_process=True).create(Tier.BUBBLEWRAP, "x", Limits())


async def test_a_bwrap_that_cannot_make_namespaces_is_told_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(NeverStarted) as refused:
        await Tiers(vm_image=Path("none"), allow_process=True).create(Tier.BUBBLEWRAP, "x", Limits())
    assert "namespaces" in refused.value.detail
    # As root it is started as nobody, who may not get at the folder of a test.
    assert "No permissions" in refused.value.detail or "Permission denied" in refused.value.detail


async def test_what_was_said_by_one_that_was_not_prepared_is_told() -> None:
    async def not_so(pid: int) -> bool:
        return False

    with pytest.raises(NeverStarted, match="did not begin: no namespaces here"):
        await start(lambda sock: ["sh", "-c", "echo no namespaces here >&2; exit 1"], beforehand=not_so)


async def test_more_folders_may_be_read_and_not_written(open_sandbox: Open, tmp_path: Path) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    folder = Path("/var/lib/dpkg") if Path("/var/lib/dpkg").is_dir() else Path("/var")
    sandbox = await Tiers(vm_image=Path("none"), read_only=[folder]).create(Tier.BUBBLEWRAP, "x", Limits())
    try:
        await sandbox.put("look.sh", f"ls {folder} && ! touch {folder}/new".encode())
        assert (await Try(sandbox).sh("sh look.sh")).ran.exit_code == 0
    finally:
        await sandbox.destroy()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
def test_what_a_start_hands_over_waits_for_no_reader() -> None:
    # More than any pipe holds; one may hold a page or two, if a program has seen to that.
    data = bytes(range(256)) * 8192
    with os.fdopen(held(data), "rb") as file:
        assert file.read() == data
