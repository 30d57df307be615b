"""Signing secrets: sealed, shown once, several at a time while one is rotated."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from ledger import Ledger, seconds

from minoots.contracts import SecretCreated
from minoots.errors import Failure, FailureKind
from minoots_platform.records import schema, signing_secrets
from minoots_platform.signing import SigningKey
from minoots_platform.vault import Vault

DAY = 86_400.0


@pytest.fixture
def vault() -> Vault:
    """A vault with a key of its own."""
    return Vault([Vault.generate_key()])


async def create(ledger: Ledger, vault: Vault, name: str = "partner") -> SecretCreated:
    """Make a secret."""
    async with ledger.writing() as connection:
        return await signing_secrets.create(connection, vault, ledger.tenant, name, now=ledger.now)


async def rotate(ledger: Ledger, vault: Vault, overlap: float = DAY, name: str = "partner") -> SecretCreated:
    """Make a new version of it."""
    async with ledger.writing() as connection:
        return await signing_secrets.rotate(
            connection, vault, ledger.tenant, name, seconds(overlap), now=ledger.now
        )


async def ensure_default(ledger: Ledger, vault: Vault) -> None:
    """Make the default secret when it is first needed."""
    async with ledger.writing() as connection:
        await signing_secrets.ensure_default(connection, vault, ledger.tenant, now=ledger.now)


async def signing(ledger: Ledger, vault: Vault, name: str = "partner") -> list[str]:
    """The keys that sign now, newest first."""
    async with ledger.database.read() as connection:
        keys = await signing_secrets.keys(connection, vault, ledger.tenant, [name], ledger.now)
    return [key.secret for key in keys.get(name, ())]


async def sealed(ledger: Ledger) -> list[bytes]:
    """What stands in the database."""
    async with ledger.database.read() as connection:
        return list((await connection.scalars(sa.select(schema.signing_secrets.c.sealed))).all())


async def test_a_new_secret_is_shown_once_and_kept_sealed(ledger: Ledger, vault: Vault) -> None:
    made = await create(ledger, vault)
    assert made.key.startswith("whsec_")
    (version,) = made.versions
    assert (version.version, version.created_at, version.expires_at) == (1, ledger.now, None)
    assert version.public_key.startswith("whpk_")
    async with ledger.database.read() as connection:
        shown = await signing_secrets.get(connection, ledger.tenant, "partner", ledger.now)
        assert await signing_secrets.page(connection, ledger.tenant, ledger.now) == (shown,)
    assert shown.versions == made.versions
    assert made.key not in shown.model_dump_json()
    assert await signing(ledger, vault) == [made.key]
    (kept,) = await sealed(ledger)
    plain = vault.decrypt(kept)
    assert SigningKey.from_bytes(plain).secret == made.key
    assert plain not in kept
    assert made.key.encode() not in kept
    (event,) = await ledger.events()
    assert (event.type, event.subject, event.data) == (
        "secret.created",
        "secret/partner",
        {"name": "partner", "version": 1},
    )


async def test_a_name_is_taken_once_a_tenant(ledger: Ledger, vault: Vault) -> None:
    mine = await create(ledger, vault)
    with pytest.raises(Failure, match="there is a secret partner already") as caught:
        await create(ledger, vault)
    assert caught.value.kind is FailureKind.CONFLICT
    theirs = await create(ledger.of("globex"), vault)
    assert theirs.key != mine.key
    assert await signing(ledger, vault) == [mine.key]


async def test_old_versions_sign_until_the_overlap_has_passed(ledger: Ledger, vault: Vault) -> None:
    first = await create(ledger, vault)
    ledger.pass_time(10)
    second = await rotate(ledger, vault)
    assert [version.version for version in second.versions] == [2, 1]
    assert second.versions[0].expires_at is None
    assert second.versions[1].expires_at == ledger.now + seconds(DAY)
    assert await signing(ledger, vault) == [second.key, first.key]
    ledger.pass_time(DAY - 0.001)
    assert await signing(ledger, vault) == [second.key, first.key]
    ledger.pass_time(0.001)
    assert await signing(ledger, vault) == [second.key]
    async with ledger.database.read() as connection:
        shown = await signing_secrets.get(connection, ledger.tenant, "partner", ledger.now)
    assert [version.version for version in shown.versions] == [2]
    assert [event.type for event in await ledger.events()] == ["secret.created", "secret.rotated"]


async def test_a_later_rotation_never_lets_an_old_version_live_longer(ledger: Ledger, vault: Vault) -> None:
    first = await create(ledger, vault)
    second = await rotate(ledger, vault, overlap=60)
    third = await rotate(ledger, vault, overlap=3600)
    ledger.pass_time(61)
    assert await signing(ledger, vault) == [third.key, second.key]
    fourth = await rotate(ledger, vault, overlap=0)
    assert await signing(ledger, vault) == [fourth.key], "a leaked key stops signing at once"
    assert first.key != second.key


async def test_an_unknown_secret_is_not_found(ledger: Ledger, vault: Vault) -> None:
    await create(ledger.of("globex"), vault)
    with pytest.raises(Failure, match="there is no secret partner") as caught:
        await rotate(ledger, vault)
    assert caught.value.kind is FailureKind.NOT_FOUND
    async with ledger.database.read() as connection:
        with pytest.raises(Failure, match="there is no secret partner"):
            await signing_secrets.get(connection, ledger.tenant, "partner", ledger.now)
        assert await signing_secrets.page(connection, ledger.tenant, ledger.now) == ()
    assert await signing(ledger, vault) == []


async def test_the_default_secret_is_made_once(ledger: Ledger, vault: Vault) -> None:
    await ensure_default(ledger, vault)
    keys = await signing(ledger, vault, signing_secrets.DEFAULT)
    await ensure_default(ledger, vault)
    assert await signing(ledger, vault, signing_secrets.DEFAULT) == keys
    assert len(keys) == 1
    assert [event.subject for event in await ledger.events()] == ["secret/default"]


async def test_a_named_secret_may_be_asked_for_once_it_is_there(ledger: Ledger, vault: Vault) -> None:
    await create(ledger, vault)
    timer = await ledger.accept(actions=[{"url": "https://a.example", "secret": "partner"}])
    assert timer.actions[0].secret == "partner"


async def test_a_vault_without_the_key_opens_nothing(ledger: Ledger, vault: Vault) -> None:
    await create(ledger, vault)
    with pytest.raises(Failure, match="no key can read this") as caught:
        await signing(ledger, Vault([Vault.generate_key()]))
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_of_many_first_uses_at_once_one_makes_the_default(busy_ledger: Ledger, vault: Vault) -> None:
    await asyncio.gather(*(ensure_default(busy_ledger, vault) for _ in range(10)))
    assert len(await signing(busy_ledger, vault, signing_secrets.DEFAULT)) == 1
    assert [event.type for event in await busy_ledger.events()] == ["secret.created"]


async def test_of_many_who_make_or_rotate_one_at_once_each_gets_an_answer(
    busy_ledger: Ledger, vault: Vault
) -> None:
    made = await asyncio.gather(*(create(busy_ledger, vault) for _ in range(8)), return_exceptions=True)
    assert len([one for one in made if isinstance(one, SecretCreated)]) == 1, made
    kinds = [one.kind for one in made if isinstance(one, Failure)]
    assert kinds == [FailureKind.CONFLICT] * 7
    turned = await asyncio.gather(*(rotate(busy_ledger, vault) for _ in range(8)), return_exceptions=True)
    done = [one for one in turned if isinstance(one, SecretCreated)]
    kinds = [one.kind for one in turned if isinstance(one, Failure)]
    assert kinds == [FailureKind.CONFLICT] * (8 - len(done))
    assert done
    assert len(await signing(busy_ledger, vault)) == 1 + len(done), (
        "nobody was shown a key that does not sign"
    )
