"""Weather and traffic as others tell them: asked briefly, kept for minutes, unknown on failure."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from domain.eta import Traffic, Weather
from domain.geo import Point
from services.settings import Settings

ANSWER_SECONDS = 0.5
"""A price doesn't wait longer for the weather."""
KEPT_SECONDS = 300.0
CELLS_MAX = 1_000
DEGREES = 10
"""A cell is a tenth of a degree: a shop's weather, and nobody's address."""
ANSWER_BYTES_MAX = 20_000
OPEN_METEO = "https://api.open-meteo.com/v1/forecast"
FOG, DRIZZLE, SNOW, SHOWERS, SNOW_SHOWERS, THUNDER = 45, 51, 71, 80, 85, 95
HEAVY_RAIN = frozenset({65, 67, 82})


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is so at a place now; None: nobody could say."""

    weather: Weather | None = None
    traffic: Traffic | None = None


class Provider(Protocol):
    """Somebody who knows weather, traffic or both; it may raise and it may be slow."""

    async def at(self, place: Point) -> Conditions:
        """The conditions there now."""
        ...


class OpenMeteo:
    """The public weather service of that name (open-meteo.com/en/docs); it knows no traffic."""

    def __init__(self, http: httpx.AsyncClient, url: str = OPEN_METEO) -> None:
        self._http = http
        self._url = url

    async def at(self, place: Point) -> Conditions:
        """By the WMO code of the current weather."""
        asked = {"latitude": place.lat, "longitude": place.lng, "current": "weather_code"}
        said = await _get(self._http, self._url, asked)
        return Conditions(weather=of_wmo(int(said["current"]["weather_code"])))


class Scripted:
    """The sandbox's: what its control interface was told to play."""

    def __init__(self, http: httpx.AsyncClient, sandbox_url: str) -> None:
        self._http = http
        self._url = f"{sandbox_url}/control/conditions"

    async def at(self, place: Point) -> Conditions:  # noqa: ARG002 - the same everywhere
        """Both."""
        said = await _get(self._http, self._url, {})
        return Conditions(
            weather=Weather(said["weather"]) if said["weather"] else None,
            traffic=Traffic(said["traffic"]) if said["traffic"] else None,
        )


class Outside:
    """One provider, or none, in front of everybody who asks."""

    def __init__(self, provider: Provider | None) -> None:
        self._provider = provider
        self._kept: dict[Point, tuple[float, Conditions]] = {}

    async def at(self, place: Point) -> Conditions:
        """What is known there; never raises, never waits longer than `ANSWER_SECONDS`."""
        if self._provider is None:
            return Conditions()
        cell = Point(round(place.lat * DEGREES) / DEGREES, round(place.lng * DEGREES) / DEGREES)
        until, said = self._kept.get(cell, (0.0, Conditions()))
        if time.monotonic() < until:
            return said
        if len(self._kept) >= CELLS_MAX:
            self._kept.clear()
        # Whoever comes meanwhile doesn't ask too, and a failure is not asked again at once.
        self._kept[cell] = (time.monotonic() + KEPT_SECONDS, said)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                said = await self._provider.at(cell)
        except (TimeoutError, httpx.HTTPError, ValueError, LookupError, TypeError):
            said = Conditions()
        self._kept[cell] = (time.monotonic() + KEPT_SECONDS, said)
        return said


NOWHERE = Outside(None)
"""Nobody can say; everything is as usual."""


def of_wmo(code: int) -> Weather:
    """A WMO code of present weather (table 4677, as Open-Meteo uses it)."""
    if code < FOG:
        return Weather.CLEAR
    if code < DRIZZLE:
        return Weather.FOG
    if SNOW <= code < SHOWERS or SNOW_SHOWERS <= code < THUNDER:
        return Weather.SNOW
    return Weather.STORM if code in HEAVY_RAIN or code >= THUNDER else Weather.RAIN


def client(settings: Settings) -> httpx.AsyncClient:
    """For a provider; the sandbox is on this machine, whatever proxies the environment names."""
    return httpx.AsyncClient(trust_env=bool(settings.weather))


def provider(settings: Settings, http: httpx.AsyncClient) -> Provider | None:
    """Who is asked: as the settings say."""
    if settings.weather:
        return OpenMeteo(http)
    return Scripted(http, settings.sandbox_url) if settings.sandbox_url else None


async def _get(http: httpx.AsyncClient, url: str, asked: dict[str, Any]) -> Any:  # noqa: ANN401
    async with http.stream("GET", url, params=asked) as response:
        response.raise_for_status()
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError("the answer is too large")
    return httpx.Response(200, content=body).json()
