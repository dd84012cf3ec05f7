"""Deliveries that MLflow takes together, and the parts of one that it does not take whole."""

from __future__ import annotations

from typing import Any

#: What goes to MLflow, as plain values: {"what": ..., "run": run id, ...}.
Delivery = dict[str, Any]

#: What of a run MLflow takes together.
BATCHED = ("batch", "metrics", "tags")
#: What can be handed over in parts, and what the parts are of.
DIVISIBLE, ENTRIES = (*BATCHED, "params", "again"), ("params", "metrics", "tags")


def neighbours(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Put those together that follow each other and that MLflow takes together, in their order."""
    result: list[list[Delivery]] = []
    for delivery in deliveries:
        last = result[-1][-1] if result else {}
        if result and _kind(delivery) and _kind(delivery) == _kind(last) and delivery["run"] == last["run"]:
            result[-1].append(delivery)
        else:
            result.append([delivery])
    return result


def _kind(delivery: Delivery) -> str | None:
    """What a delivery can become a part of."""
    what = delivery["what"]
    return "batch" if what in BATCHED else what if what == "again" else None


def joined(together: list[Delivery]) -> Delivery:
    """Make one delivery of several for one run: that costs hardly more than a single metric."""
    if len(together) == 1:
        return together[0]
    return {
        "what": _kind(together[0]),
        "run": together[0]["run"],
        "params": {key: value for each in together for key, value in each.get("params", {}).items()},
        "metrics": [entry for each in together for entry in each.get("metrics", [])],
        "tags": {key: value for each in together for key, value in each.get("tags", {}).items()},
    }


def entries(delivery: Delivery) -> int:
    """How many settings, figures and tags a delivery has that MLflow could take one by one."""
    return sum(len(delivery.get(kind, ())) for kind in ENTRIES) if delivery["what"] in DIVISIBLE else 1


def halves(delivery: Delivery) -> list[Delivery]:
    """Two deliveries of one that has several entries."""
    all_of_it = [
        (kind, entry)
        for kind in ENTRIES
        for entry in (delivery.get(kind, []) if kind == "metrics" else delivery.get(kind, {}).items())
    ]
    middle = len(all_of_it) // 2
    result = []
    for part in (all_of_it[:middle], all_of_it[middle:]):
        content = {kind: [entry for each, entry in part if each == kind] for kind in ENTRIES}
        kept = {kind: held if kind == "metrics" else dict(held) for kind, held in content.items() if held}
        result.append({"what": delivery["what"], "run": delivery["run"], **kept})
    return result
