"""Weather and traffic over real HTTP: asked once, briefly; what fails is unknown."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from domain.eta import Traffic, Weather
from domain.geo import Point
from sandbox.conditions import create_conditions
from services.eta import outside
from services.eta.outside import Conditions, OpenMeteo, Outside, Scripted
from services.settings import Settings

HERE = Point(31.234, 121.472)


def answering(handler: httpx.MockTransport | httpx.ASGITransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=handler)


async def test_the_sandbox_plays_what_control_says() -> None:
    app = FastAPI()
    app.include_router(create_conditions())
    async with answering(httpx.ASGITransport(app=app)) as http:
        scripted = Scripted(http, "http://sandbox")
        assert await scripted.at(HERE) == Conditions()
        rain = {"weather": "rain", "traffic": "jam"}
        await http.put("http://sandbox/control/conditions", json=rain)
        assert await scripted.at(HERE) == Conditions(weather=Weather.RAIN, traffic=Traffic.JAM)
        nonsense = await http.put("http://sandbox/control/conditions", json={"weather": "frogs"})
        assert nonsense.status_code == 422


async def test_open_meteo_hears_of_a_cell_only_and_is_asked_once() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"current": {"weather_code": 63}})

    async with answering(httpx.MockTransport(answer)) as http:
        around = Outside(OpenMeteo(http))
        for _ in range(3):
            assert await around.at(HERE) == Conditions(weather=Weather.RAIN)
    assert asked == [{"latitude": "31.2", "longitude": "121.5", "current": "weather_code"}]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"current": None}),
        httpx.Response(200, json={"current": {"weather_code": 1}, "more": "x" * 30_000}),
    ],
)
async def test_what_fails_is_unknown(answer: httpx.Response) -> None:
    async with answering(httpx.MockTransport(lambda _: answer)) as http:
        assert await Outside(OpenMeteo(http)).at(HERE) == Conditions()


async def test_nobody_waits_long_for_the_weather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "ANSWER_SECONDS", 0.02)

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with answering(httpx.MockTransport(never)) as http, asyncio.timeout(5):
        assert await Outside(OpenMeteo(http)).at(HERE) == Conditions()


@pytest.mark.parametrize(
    ("code", "weather"),
    [
        (0, Weather.CLEAR),
        (3, Weather.CLEAR),
        (48, Weather.FOG),
        (51, Weather.RAIN),
        (65, Weather.STORM),
        (71, Weather.SNOW),
        (80, Weather.RAIN),
        (86, Weather.SNOW),
        (95, Weather.STORM),
    ],
)
def test_codes_of_the_weather(code: int, weather: Weather) -> None:
    assert outside.of_wmo(code) is weather


async def test_nobody_is_asked_unless_the_settings_say(tmp_path: Path) -> None:
    async with httpx.AsyncClient() as http:
        off = Settings(home=tmp_path, sandbox_url="")
        assert outside.provider(off, http) is None
        played = Settings(home=tmp_path, sandbox_url="http://sandbox")
        assert isinstance(outside.provider(played, http), Scripted)
        real = Settings(home=tmp_path, weather="open-meteo")
        assert isinstance(outside.provider(real, http), OpenMeteo)
