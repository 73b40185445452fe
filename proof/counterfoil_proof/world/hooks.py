"""
Merchants' webhook endpoints: they take a message, refuse it, say nothing, or are gone for ever.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from counterfoil.events.posting import POST_SECONDS_MAX, Posted
from counterfoil_client.commands import Answer, Send

from counterfoil_proof.world.life import Life

if TYPE_CHECKING:
    from counterfoil_proof.world.world import World

TYPES = ("payment.captured", "payment.reversed")
TYPES_OF_THE_GONE = ("payment.authorized", "batch.closed")
GONE_AFTER = (1, 8)  # So many messages, then it answers 410.
ADD_SECONDS = 30.0
GONE = 410
# Each message that was due to an endpoint from its first event on, and each that is not ended.
NOT_TOLD = """
SELECT e.url, f.number, f.event_id, coalesce(d.state, 'nobody') AS state
FROM webhook_endpoints AS e
JOIN feed AS f ON f.merchant_id = e.merchant_id AND f.type = ANY (e.types)
LEFT JOIN webhook_deliveries AS d ON d.merchant_id = f.merchant_id
    AND d.endpoint_id = e.endpoint_id AND d.number = f.number
WHERE e.state = 'enabled' AND (d.state = 'owed' OR d.state IS NULL AND f.number > $1)
"""
TOLD = """
SELECT e.url, f.event_id, d.state FROM webhook_deliveries AS d
JOIN webhook_endpoints AS e USING (merchant_id, endpoint_id)
JOIN feed AS f ON f.merchant_id = d.merchant_id AND f.number = d.number
"""
ENDPOINTS = "SELECT url, state FROM webhook_endpoints"
HEAD = "SELECT coalesce(max(last_number), 0) AS number FROM feed_heads"


class Receiver(msgspec.Struct):
    """
    One endpoint. `taken` counts the messages that it has taken, by the event's id.
    """

    url: str
    secret: bytes
    gone_after: int | None = None
    taken: dict[str, int] = msgspec.field(default_factory=dict)
    is_gone: bool = False


class Hooks:
    """
    All endpoints of a universe.
    """

    def __init__(self, world: "World") -> None:
        self.receivers: dict[str, Receiver] = {}
        self._world = world
        self._after = 0

    async def subscribe(self) -> None:
        """
        Add two endpoints for each merchant, over the API: a faulty one, and one that will be gone.
        """
        chance = self._world.chance.stream("hooks")
        for reader in self._world.readers:
            session = self._world.web.session(reader.api_key, chance)
            for name, types in (("faulty", TYPES), ("gone", TYPES_OF_THE_GONE)):
                url = f"https://{reader.name}.shops.test/{name}"
                body = msgspec.json.encode({"url": url, "types": types})
                path = "/v1/webhook-endpoints"
                event = await session.send(
                    Send(method="POST", path=path, body=body, key=None, seconds=ADD_SECONDS)
                )
                assert isinstance(event, Answer), event
                assert event.status == 201, event.body
                secret = str(msgspec.json.decode(event.body)["secret"]).removeprefix("whsec_")
                last = chance.randint(*GONE_AFTER) if name == "gone" else None
                self.receivers[url] = Receiver(url, base64.b64decode(secret), last)
        self._after = self._world.store.ask(HEAD)[0]["number"]

    def posting(self, life: Life) -> Callable[[str, Mapping[str, str], bytes], Awaitable[Posted]]:
        """
        Return the way to the endpoints for one process.
        """
        weather, chance = self._world.weather, self._world.chance.stream("post", life)

        async def post(url: str, headers: Mapping[str, str], body: bytes) -> Posted:
            await asyncio.sleep(chance.uniform(*weather.web_span))
            life.check()
            receiver = self.receivers[url]
            self._check_signature(receiver, headers, body)
            if chance.random() < weather.hook_faulty:
                return await self._badly(receiver, headers, chance)
            await asyncio.sleep(chance.uniform(*weather.web_span))
            return self._taken(receiver, headers["webhook-id"])

        return post

    async def _badly(
        self, receiver: Receiver, headers: Mapping[str, str], chance: Random
    ) -> Posted:
        fault = chance.choice(("500", "hangs", "answer lost"))
        self._count(f"webhook {fault}")
        if fault == "500":
            return Posted(500, None)
        if fault == "hangs":
            await asyncio.sleep(POST_SECONDS_MAX)
            return Posted(None, "no answer in time")
        self._taken(receiver, headers["webhook-id"])
        return Posted(None, "the connection was lost")

    def _taken(self, receiver: Receiver, event_id: str) -> Posted:
        if receiver.gone_after is not None and len(receiver.taken) >= receiver.gone_after:
            receiver.is_gone = True
            self._count("webhook 410")
            return Posted(GONE, None)
        again = event_id in receiver.taken
        receiver.taken[event_id] = receiver.taken.get(event_id, 0) + 1
        self._count("webhook taken again" if again else "webhook taken")
        return Posted(200, None)

    def _check_signature(self, receiver: Receiver, headers: Mapping[str, str], body: bytes) -> None:
        """
        Check it as Standard Webhooks 1.0 says, "Verifying webhook authenticity".
        """
        said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(receiver.secret, said, hashlib.sha256)).decode()
        if f"v1,{mac}" not in headers["webhook-signature"].split(" "):
            self._world.story.violated("webhooks are signed", receiver.url, headers["webhook-id"])
        told: dict[str, Any] = msgspec.json.decode(body)
        if told["data"]["id"] != headers["webhook-id"]:
            self._world.story.violated("webhooks say of which event", receiver.url, told["type"])

    def check(self) -> None:
        """
        Every event was told to every endpoint that wanted it, or was visibly given up.
        """
        story, ask = self._world.story, self._world.store.ask
        for row in ask(NOT_TOLD, self._after):
            what = f"event {row['number']} to {row['url']}: {row['state']}"
            story.violated("every hint is delivered or given up", what, row["event_id"].hex)
        told: dict[tuple[str, str], str] = {}
        for row in ask(TOLD):
            told[row["url"], row["event_id"].hex] = row["state"]
        for receiver in self.receivers.values():
            taken = {each.partition("_")[2] for each in receiver.taken}
            for (url, event), state in told.items():
                if url == receiver.url and state == "delivered" and event not in taken:
                    story.violated("a hint noted as delivered was delivered", url, event)
            for event in sorted(taken):
                if (receiver.url, event) not in told:
                    story.violated("no hint without its event", receiver.url, event)
        for row in ask(ENDPOINTS):
            if self.receivers[row["url"]].is_gone != (row["state"] == "disabled"):
                story.violated("who is gone is disabled, and nobody else", row["url"], row["state"])

    def _count(self, name: str) -> None:
        self._world.story.count(name)
