"""Preparing a Temporal namespace: the search attributes that our workflows set."""

from __future__ import annotations

from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from minoots.errors import Failure, FailureKind
from minoots_workflows.search_attributes import REGISTRY

_TYPES: Final = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
}


async def ensure_search_attributes(client: Client) -> None:
    """Register what the namespace lacks.

    Raises:
        Failure: denied, when the server does not let this worker do it; the text gives the commands.
    """
    operator = client.service_client.operator_service
    known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    missing = {name: _TYPES[kind] for name, kind in REGISTRY if name not in known.custom_attributes}
    if not missing:
        return
    try:
        await operator.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return
        commands = "; ".join(
            f"temporal operator search-attribute create --namespace {client.namespace}"
            f" --name {name} --type {kind}"
            for name, kind in REGISTRY
            if name in missing
        )
        raise Failure(
            FailureKind.DENIED,
            f"the namespace {client.namespace} lacks search attributes and does not let us add them: {error}",
            remedy=f"Have an operator run: {commands}",
        ) from error
