"""``minoots vm``: the image that virtual machines are started from, and whether they start here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minoots_platform.settings import Settings, SettingsError, load_settings
from minoots_workers.embedded.faults import CONFIG

if TYPE_CHECKING:
    from minoots_activities.vms.engines import Engine

app = typer.Typer(
    help="Virtual machines: build their image, see whether they start here.", no_args_is_help=True
)

_Config = Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")]


@app.command("build-image")
def build_image(
    package: Annotated[
        list[Path] | None,
        typer.Option(
            help="A Debian package that is here already (the kernel's, and busybox-static); may be repeated. "
            "Default: apt fetches them.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    unpacked_kernel: Annotated[
        bool, typer.Option("--unpacked-kernel", help="With the kernel unpacked, too: Firecracker takes it.")
    ] = False,
    config: _Config = None,
) -> None:
    """Build the image from Debian's kernel, busybox and Minoots' own guest.

    Exit codes: 0 built, 1 it cannot be built (nothing is changed), 2 settings.
    """
    # Here, so that the other commands do not wait for these imports.
    from minoots_activities.vms import building
    from minoots_activities.vms.faults import ImageFault

    settings = _settings(config)
    try:
        image = building.build(settings.vm_image, package or (), unpacked_kernel=unpacked_kernel)
    except ImageFault as fault:
        typer.echo(f"minoots vm: {fault}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"image      {image.folder}")
    for name, version in sorted(image.about.packages.items()):
        typer.echo(f"           {name} {version}")
    typer.echo("See whether it starts: minoots vm check")


@app.command("add-root")
def add_root(
    name: Annotated[str, typer.Argument(help="What it is called: small letters, digits and . _ : / -")],
    archive: Annotated[
        Path, typer.Argument(help="A tar archive of a root file system.", exists=True, dir_okay=False)
    ],
    config: _Config = None,
) -> None:
    """Let jobs in machines have the files of an archive, such as `podman export` writes, as their root.

    Exit codes: 0 added (its name for jobs is printed), 1 it cannot be used (nothing is changed), 2 settings.
    """
    from minoots_activities.vms.faults import ImageFault
    from minoots_activities.vms.roots import Roots

    try:
        root = Roots(_settings(config).vm_roots).add(name, archive)
    except ImageFault as fault:
        typer.echo(f"minoots vm: {fault}", err=True)
        raise typer.Exit(1) from None
    typer.echo(root.reference)


@app.command()
def roots(config: _Config = None) -> None:
    """List what jobs in machines may have as their root (`image`), and how large each is."""
    from minoots_activities.vms.roots import Roots

    for root in Roots(_settings(config).vm_roots).all():
        typer.echo(f"{root.bytes // 1_048_576:>6} MB  {root.reference}")


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
    config: _Config = None,
) -> None:
    """Start machines, say by which accelerator and how fast, and why not by a faster one.

    The state of one of them is kept for the jobs to come, where settings allow that.

    Exit codes: 0 it started, 1 it did not, 2 settings.
    """
    from minoots.errors import Failure
    from minoots_activities.vms.faults import ImageFault
    from minoots_workers.machines import engine_of

    settings = _settings(config)
    try:
        found = asyncio.run(_found(settings, engine_of(settings)))
    except ImageFault as fault:
        typer.echo(f"minoots vm: {fault}", err=True)
        raise typer.Exit(1) from None
    except Failure as failure:
        typer.echo(f"minoots vm: {failure.detail}. {failure.remedy or ''}".strip(), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"engine       {found['engine']}")
    typer.echo(f"accelerator  {found['accelerator']}, ready after {found['boot_ms']} ms")
    if found["restored_ms"] is not None:
        typer.echo(f"kept state   ready after {found['restored_ms']} ms")
    elif settings.sandbox.vm_states and settings.sandbox.vm_engine == "qemu":
        typer.echo("kept state   none could be kept; the log says why")
    for name, why in found["refused"].items():
        typer.echo(f"not by {name}   {why}")
    typer.echo(f"image        {found['image']} ({found['digest'][:12]})")


async def _found(settings: Settings, engine: Engine) -> dict[str, Any]:
    """Start machines; return what there is to say of them."""
    from minoots_activities.vms import accelerators, images, qemu
    from minoots_activities.vms.guest import VERSION
    from minoots_activities.vms.starting import tried, tried_by
    from minoots_activities.vms.states import States

    if settings.sandbox.vm_engine == "firecracker":
        boot_ms, held_by = await tried_by(engine)
        found: dict[str, Any] = {**held_by, "boot_ms": round(boot_ms), "restored_ms": None, "refused": {}}
        image = images.load(settings.vm_image, VERSION)
    else:
        host = qemu.Host.find(settings.sandbox.qemu)
        image = images.load(settings.vm_image, VERSION)
        chosen = await accelerators.choose(host, image)
        states = States(settings.vm_states, settings.sandbox.vm_states)
        restored = await tried(host, image, chosen, states) if settings.sandbox.vm_states else None
        found = {
            "engine": "qemu",
            "accelerator": chosen.name,
            "boot_ms": round(chosen.boot_ms),
            "restored_ms": None if restored is None else round(restored),
            "refused": chosen.refused,
        }
    about = {"image": str(image.folder), "digest": image.digest, "packages": image.about.packages}
    return {**found, **about}


def _settings(config: Path | None) -> Settings:
    try:
        return load_settings(config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG) from None
