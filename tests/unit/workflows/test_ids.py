"""Public ids and workflow ids."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_platform.ids import TENANT_PATTERN, Prefix, is_id, new_id
from minoots_workflows.ids import Kind, parse_workflow_id, workflow_id

NOW = datetime(2027, 1, 1, tzinfo=UTC)

prefixes = st.sampled_from(get_args(Prefix))
moments = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
tenants = st.from_regex(TENANT_PATTERN)


@given(prefixes, moments)
def test_a_new_id_is_an_id_of_its_kind_alone(prefix: Prefix, now: datetime) -> None:
    made = new_id(prefix, now)
    assert [kind for kind in get_args(Prefix) if is_id(made, kind)] == [prefix]
    assert len(made) == 30, "fits the columns of the records"


@given(prefixes, moments, st.timedeltas(timedelta(milliseconds=2), timedelta(days=1000)))
def test_ids_sort_by_the_time_of_making(prefix: Prefix, now: datetime, later: timedelta) -> None:
    assert new_id(prefix, now) < new_id(prefix, now + later)


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id("tmr", NOW) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tmr_",
        "tmr_01JD",
        "dlv_01JD3ZQ4X5Y6Z7A8B9C0D1E2F3",
        "tmr_01jd3zq4x5y6z7a8b9c0d1e2f3",
        "tmr_81JD3ZQ4X5Y6Z7A8B9C0D1E2F3",
        "tmr_01JD3ZQ4X5Y6Z7A8B9C0D1E2FU",
        "tmr_01JD3ZQ4X5Y6Z7A8B9C0D1E2F3\n",
        " tmr_01JD3ZQ4X5Y6Z7A8B9C0D1E2F3",
    ],
)
def test_what_only_looks_like_an_id(text: str) -> None:
    assert is_id("tmr_01JD3ZQ4X5Y6Z7A8B9C0D1E2F3", "tmr")
    assert not is_id(text, "tmr")


@given(st.sampled_from(get_args(Kind)), tenants, prefixes)
def test_a_workflow_id_of_any_tenant_reads_back(kind: Kind, tenant: str, prefix: Prefix) -> None:
    public_id = new_id(prefix, NOW)
    assert parse_workflow_id(workflow_id(kind, tenant, public_id)) == (kind, tenant, public_id)


@pytest.mark.parametrize("tenant", ["a", "0", "acme", "a-b_c", "a" * 63])
def test_these_are_tenants(tenant: str) -> None:
    assert re.match(TENANT_PATTERN, tenant)


@pytest.mark.parametrize("tenant", ["", "-a", "_a", "A", "a:b", "a b", "ü", "a" * 64, "acme\n", "a/b", "٣"])
def test_these_are_not(tenant: str) -> None:
    assert not re.match(TENANT_PATTERN, tenant)
