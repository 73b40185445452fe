"""
A merchant's own program that reads the event feed: by its number, page after page.

It dies now and then between reading a page and noting it, and reads that page again.
"""

from random import Random
from uuid import UUID

import msgspec
from counterfoil_client import wire
from counterfoil_client.commands import Answer
from counterfoil_client.results import EventPage

from counterfoil_proof.world.story import Story
from counterfoil_proof.world.web import Session, Web

PAGE = 100
PAGES_MAX = 10_000
READ_SECONDS = 30.0
DIES = 0.1  # How often, of the pages it has read.


class Reader:
    """
    What one merchant has noted of its feed.
    """

    def __init__(
        self,
        name: str,
        merchant_id: UUID,
        api_key: str,
        *,
        web: Web,
        story: Story,
        chance: Random,
    ) -> None:
        self.name = name
        self.merchant_id = merchant_id
        self.api_key = api_key
        self.after = 0  # What it has noted last.
        self.events: dict[int, str] = {}
        self._web = web
        self._story = story
        self._chance = chance
        self._session: Session | None = None

    async def read_on(self) -> bool:
        """
        Read one page and note it; return whether there was anything on it.
        """
        self._session = self._session or self._web.session(self.api_key, self._chance)
        send = msgspec.structs.replace(wire.events(self.after, PAGE, 0), seconds=READ_SECONDS)
        event = await self._session.send(send)
        if not isinstance(event, Answer) or event.status != 200:
            self._story.count("feed not read")
            return False
        page = msgspec.json.decode(event.body, type=EventPage)
        self._look_at(page)
        if page.data and self._chance.random() < DIES:
            self._story.count("crash of a feed's reader")
            self._session = None
            return True
        self.after = page.next_after
        return bool(page.data)

    async def read_to_the_end(self) -> None:
        """
        Read on until there is nothing more.
        """
        for _ in range(PAGES_MAX):
            if not await self.read_on():
                return

    def _look_at(self, page: EventPage) -> None:
        numbers = [each.number for each in page.data]
        if numbers != list(range(self.after + 1, self.after + 1 + len(numbers))):
            what = f"{self.name} asks after {self.after} and reads {numbers[:3]}..{numbers[-1:]}"
            self._story.violated("the feed has no gap", what, self.name)
        if page.next_after != self.after + len(numbers):
            what = f"{self.name} is told to go on after {page.next_after}, not {self.after}"
            self._story.violated("the feed has no gap", what, self.name)
        for each in page.data:
            if self.events.setdefault(each.number, each.id) != each.id:
                what = f"{self.name}: number {each.number} was {self.events[each.number]}"
                self._story.violated("a number of the feed never changes", what, each.id)
        self._story.count("event read", len(numbers))
