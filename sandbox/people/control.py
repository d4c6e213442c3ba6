"""The control interface of people: HTTP in, sessions' acts out; mounted under /control/people."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.routing import APIRoute

from sandbox.people.habits import Customer, Merchant, OrderWish, Rider, SessionWish
from sandbox.people.sessions import NotHere, People, TooMany, await_change

LONGEST_WAIT_SECONDS = 120


class _Answers(APIRoute):
    """Named refusals as HTTP."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except NotHere as missing:
                raise HTTPException(404, f"no such {missing}") from missing
            except TooMany as bound:
                raise HTTPException(429, str(bound)) from bound

        return handler


def create_people(people: People) -> APIRouter:
    """Make the routes under `/control/people` over all sessions of the process."""
    routes = APIRouter(prefix="/control/people/sessions", route_class=_Answers)

    @routes.post("", status_code=201)
    async def open_session(wish: SessionWish) -> dict[str, str]:
        return {"session_id": people.open(wish)}

    @routes.get("/{session_id}")
    async def progress(session_id: str, *, log: bool = False) -> dict[str, Any]:
        session = people.get(session_id)
        answer = session.progress()
        if log:
            answer["log"] = [seen.as_json() for seen in session.orders.values()]
        return answer

    @routes.delete("/{session_id}", status_code=204)
    async def end_session(session_id: str) -> None:
        await people.end(session_id)

    @routes.post("/{session_id}/customers", status_code=204)
    async def add_customer(session_id: str, customer: Customer) -> None:
        people.get(session_id).add_customer(customer)

    @routes.post("/{session_id}/merchants", status_code=204)
    async def add_merchant(session_id: str, merchant: Merchant) -> None:
        people.get(session_id).add_merchant(merchant)

    @routes.post("/{session_id}/riders", status_code=204)
    async def add_rider(session_id: str, rider: Rider) -> None:
        people.get(session_id).add_rider(rider)

    _order_routes(routes, people)
    return routes


Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_SECONDS)]


def _order_routes(routes: APIRouter, people: People) -> None:
    @routes.post("/{session_id}/orders", status_code=202)
    async def order(session_id: str, wish: OrderWish, wait_seconds: Wait = 0) -> dict[str, Any]:
        """Begin to order; with a wait, the answer tells how placing it went."""
        seen = people.get(session_id).order(wish)
        await await_change(seen, wait_seconds)
        return seen.as_json()

    @routes.get("/{session_id}/orders/{key}")
    async def order_seen(
        session_id: str, key: str, status: str = "", wait_seconds: Wait = 0
    ) -> dict[str, Any]:
        """One order's log; with a wait, once it has that status or has ended."""
        seen = people.get(session_id).seen(key)
        await await_change(seen, wait_seconds, status=status)
        return seen.as_json()
