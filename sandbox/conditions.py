"""Weather and traffic as the world's script has them: set by control, asked by the platform."""

from typing import Literal

from fastapi import APIRouter

from sandbox.routes import Body


class Conditions(Body):
    """Everywhere, until they are set anew; empty: nobody can say."""

    weather: Literal["", "clear", "fog", "rain", "storm", "snow"] = ""
    traffic: Literal["", "free", "slow", "jam"] = ""


def create_conditions() -> APIRouter:
    """Make the routes under `/control/conditions`."""
    routes = APIRouter(prefix="/control/conditions")
    now = Conditions()

    @routes.get("")
    async def tell() -> Conditions:
        return now

    @routes.put("")
    async def script(wanted: Conditions) -> Conditions:
        nonlocal now
        now = wanted
        return now

    return routes
