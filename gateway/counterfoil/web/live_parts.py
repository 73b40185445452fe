"""
Parts of pages that are fetched again by themselves while somebody looks (`static/live.js`).

Each answer says after how many seconds the next is worth asking for, and how much waits for
somebody, so that the menu says it too.
"""

from typing import Any

from starlette.responses import HTMLResponse, Response

from counterfoil.web.rendering import rendered
from counterfoil.web.visit import Visit

AGAIN = "Counterfoil-Again-Seconds"
WAITING = "Counterfoil-Waiting"
RESTING_SECONDS = 60  # What is shown has come to rest, and may still be changed by somebody.
OVER = 0  # Nothing changes any more: it is not asked for again.


def live_part(visit: Visit, template: str, *, every: int, **facts: Any) -> Response:
    """
    Return a part of a page, which is worth asking for again after *every* seconds, or is `OVER`.
    """
    answer = HTMLResponse(rendered(visit, template, **facts))
    answer.headers[AGAIN] = str(every)
    number = visit.counts.get("/attention")
    if number is not None:  # Nobody counted for whoever sees no payments.
        answer.headers[WAITING] = str(number)
    return answer
