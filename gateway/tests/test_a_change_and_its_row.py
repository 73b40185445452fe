"""
A change and the row that says who made it are one: whatever dies behind it, the row is there.
"""

from typing import Any

import pytest
from counterfoil import ids
from counterfoil.store.people import PeopleStore
from counterfoil.store.webhooks import Endpoint
from hook_stage import Hooks
from payment_stage import Stage
from test_attention import finding
from web_stage import Site

URL = "https://hooks.example/x"


class Died(Exception):
    """The process, where the row used to be written."""


async def dies(*_: Any, **__: Any) -> None:
    raise Died


@pytest.fixture
async def site(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A web process that writes no row in a statement of its own."""
    monkeypatch.setattr(PeopleStore, "note", dies)
    return await Site.of(stage)


async def rows(stage: Stage, kind: str) -> list[tuple[Any, ...]]:
    """Return who changed what of a kind, oldest first."""
    found = await stage.sql(
        "SELECT what, actor, about, before FROM people_events WHERE merchant_id = $1 "
        "AND what LIKE $2 ORDER BY at, what",
        stage.merchant.merchant_id,
        kind,
    )
    return [tuple(row) for row in found]


async def actor(stage: Stage) -> str:
    (row,) = await stage.sql(
        "SELECT user_id FROM members WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    return f"user:{row['user_id'].hex}"


async def test_a_finding_and_who_cleared_it_up(stage: Stage, site: Site) -> None:
    """In one statement."""
    name = ids.written(ids.FINDING, await finding(stage))
    owner = await site.signed_in()
    await owner.get("/attention")
    await owner.send(f"/attention/findings/{name}/resolve", {"note": "They paid."})

    (row,) = await stage.sql(
        "SELECT state FROM findings WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    assert row["state"] == "resolved"
    assert await rows(stage, "finding%") == [("finding_resolved", await actor(stage), name, None)]


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("new", {"url": f"{URL}/new"}, ("webhook_added", f"{URL}/new", None)),
        ("{endpoint}/edit", {"url": f"{URL}/b"}, ("webhook_changed", f"{URL}/b", URL)),
        ("{endpoint}/state", {"state": "disabled"}, ("webhook_disabled", URL, None)),
        (
            "{endpoint}/rotate",
            {"seen": "{seen}", "overlap": "0"},
            ("webhook_secret_rotated", URL, None),
        ),
        ("{endpoint}/delete", {}, ("webhook_deleted", URL, None)),
    ],
)
async def test_an_endpoint_and_who_changed_it(
    stage: Stage, site: Site, path: str, form: dict[str, str], said: tuple[str, str, str | None]
) -> None:
    """Added, changed, disabled, given another secret, deleted."""
    hooks, owner = Hooks(stage), await site.signed_in()
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    row, _ = await hooks.endpoints.add(
        stage.merchant.merchant_id,
        Endpoint(url=URL, description=None, types=None, state="enabled"),
        "key_1",
    )
    named = {
        "endpoint": ids.written(ids.ENDPOINT, row["endpoint_id"]),
        "seen": row["updated_at"].isoformat(),
    }
    await owner.get("/developers")
    stage.clock.move(1)
    sent = {name: text.format(**named) for name, text in form.items()}
    sent.setdefault("endpoint_id", ids.written(ids.ENDPOINT, stage.road.ids.new()))

    answer = await owner.send(f"/developers/webhooks/{path.format(**named)}", sent)

    assert answer.status_code in (201, 303), answer.text
    what, about, before = said
    assert await rows(stage, "webhook%") == [
        ("webhook_added", "key_1", URL, None),
        (what, await actor(stage), about, before),
    ]


async def test_what_a_key_changes_of_an_endpoint_stands_there_too(stage: Stage, site: Site) -> None:
    """Address and state at once are two rows; what changes nothing is none."""
    hooks, merchant_id = Hooks(stage), stage.merchant.merchant_id
    made = Endpoint(url=URL, description=None, types=None, state="enabled")
    row, _ = await hooks.endpoints.add(merchant_id, made, "key_1")
    stage.clock.move(1)

    for _ in range(2):
        await hooks.endpoints.change(
            merchant_id, row["endpoint_id"], "key_1", url=f"{URL}/b", state="disabled"
        )

    assert await rows(stage, "webhook%") == [
        ("webhook_added", "key_1", URL, None),
        ("webhook_changed", "key_1", f"{URL}/b", URL),
        ("webhook_disabled", "key_1", f"{URL}/b", None),
    ]
