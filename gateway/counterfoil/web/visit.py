"""
One request for a page: who asks, what they sent, and what is at hand.
"""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from counterfoil.lines import without_turns
from counterfoil.people.person import Who
from counterfoil.people.roles import Right
from counterfoil.web.desk import WebDesk


class Visit(msgspec.Struct, kw_only=True):
    """
    A request as an endpoint sees it. `form` holds the fields of a form that was checked to come
    from one of our pages; `csrf` is what the page's own forms must carry; `counts` what
    stands beside entries of the menu; `done` what a form has done just now, to be said once.
    """

    request: Request
    desk: WebDesk
    guest: Who | None = None
    form: dict[str, str] = msgspec.field(default_factory=dict)
    csrf: str = ""
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    done: str = ""

    @property
    def who(self) -> Who:
        """
        Who is signed in; only endpoints that are open to strangers may find nobody.
        """
        assert self.guest is not None, "this page is open to strangers: look at `guest`"
        return self.guest

    def named(self, name: str) -> str:
        """
        Return what stands in the path for *name*.
        """
        value: str = self.request.path_params[name]
        return value

    def asked(self, name: str, default: str = "") -> str:
        """
        Return what the address says after the `?` for *name*.
        """
        return without_turns(self.request.query_params.get(name, default))


Endpoint = Callable[[Visit], Awaitable[Response]]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page: path, endpoint, method, and the right that it takes.

    `right` None: whoever is signed in; several: any of them. `open_to_all`: strangers too.
    `after_step_up`: only within some minutes of having proved anew who one is. `is_live`: a page
    asks for it again and again by itself, so that it keeps nobody signed in. `only_asks`: a form
    that changes nothing, sent so that what was typed stands in no address.
    `before_second_factor`: also for whoever must set a second factor up first. `keeps`: the fields
    of a form that are held for whoever must prove first who they are. `by_script`: a script of ours
    asks, and is answered in JSON, also when it may not. `when_lost`: where a form leads after the
    next sign-in whose own sign-in had ended before it was sent.
    """

    path: str
    endpoint: Endpoint
    right: Right | tuple[Right, ...] | None = None
    method: str = "GET"
    open_to_all: bool = False
    after_step_up: bool = False
    is_live: bool = False
    only_asks: bool = False
    before_second_factor: bool = False
    keeps: tuple[str, ...] = ()
    by_script: bool = False
    when_lost: Callable[[Visit], str] | None = None

    def is_for(self, who: Who) -> bool:
        """
        Return whether *who* has the right that the page takes.
        """
        if self.right is None:
            return True
        rights = (self.right,) if isinstance(self.right, Right) else self.right
        return any(who.may(each) for each in rights)
