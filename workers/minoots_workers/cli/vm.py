"""``minoots vm``: the image that virtual machines are started from, and whether they start here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from minoots_platform.settings import Settings, SettingsError, load_settings
from minoots_workers.embedded.faults import CONFIG

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
        image = building.build(settings.vm_image, package or ())
    except ImageFault as fault:
        typer.echo(f"minoots vm: {fault}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"image      {image.folder}")
    for name, version in sorted(image.about.packages.items()):
        typer.echo(f"           {name} {version}")
    typer.echo("See whether it starts: minoots vm check")


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
    from minoots_activities.vms import accelerators, images, qemu
    from minoots_activities.vms.faults import ImageFault
    from minoots_activities.vms.guest import VERSION
    from minoots_activities.vms.starting import tried
    from minoots_activities.vms.states import States

    settings = _settings(config)
    try:
        host = qemu.Host.find(settings.sandbox.qemu)
        image = images.load(settings.vm_image, VERSION)
        states = States(settings.vm_states, settings.sandbox.vm_states)

        async def look() -> tuple[accelerators.Accelerator, float | None]:
            chosen = await accelerators.choose(host, image)
            return chosen, await tried(host, image, chosen, states) if settings.sandbox.vm_states else None

        chosen, restored_ms = asyncio.run(look())
    except ImageFault as fault:
        typer.echo(f"minoots vm: {fault}", err=True)
        raise typer.Exit(1) from None
    except Failure as failure:
        typer.echo(f"minoots vm: {failure.detail}. {failure.remedy or ''}".strip(), err=True)
        raise typer.Exit(1) from None
    if as_json:
        found = {
            "accelerator": chosen.name,
            "boot_ms": round(chosen.boot_ms),
            "restored_ms": None if restored_ms is None else round(restored_ms),
            "refused": chosen.refused,
            "image": str(image.folder),
            "digest": image.digest,
            "packages": image.about.packages,
        }
        typer.echo(json.dumps(found))
        return
    typer.echo(f"accelerator  {chosen.name}, ready after {chosen.boot_ms:.0f} ms")
    if restored_ms is not None:
        typer.echo(f"kept state   ready after {restored_ms:.0f} ms")
    elif settings.sandbox.vm_states:
        typer.echo("kept state   none could be kept; the log says why")
    for name, why in chosen.refused.items():
        typer.echo(f"not by {name}   {why}")
    typer.echo(f"image        {image.folder} ({image.digest[:12]})")


def _settings(config: Path | None) -> Settings:
    try:
        return load_settings(config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG) from None
