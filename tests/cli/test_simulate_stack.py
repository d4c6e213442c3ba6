"""`paotui demo` and `paotui simulate` as a person runs them, on the running stack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.settings import Settings

pytestmark = pytest.mark.stack
COMMAND_SECONDS = 240
DAY = {
    "orders.txt": """order x y placement_time restaurant ready_time
o1 900 400 60 r2 70
o2 1200 300 61 r1 69
o3 50 60 62 r1 72
o4 700 700 63 r2 71
o5 300 900 64 r1 76
""",
    "restaurants.txt": "restaurant x y\nr1 0 0\nr2 600 500\n",
    "couriers.txt": "courier x y on_time off_time\nc1 100 100 0 150\nc2 0 800 60 150\n"
    "c3 500 500 0 150\n",
    "instance_parameters.txt": (
        "meters_per_minute|pickup service minutes|dropoff service minutes|target click-to-door|"
        "maximum click-to-door|pay per order|guaranteed pay per hour\n320|4|4|40|90|10|15\n"
    ),
}


def paotui(stack: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in the stack's folder, with nothing of the tests' own settings."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("PAOTUI_")}
    return subprocess.run(
        [Path(sys.executable).parent / "paotui", *words],
        env=clean | {"PAOTUI_HOME": str(stack.home)},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def test_the_demo_drives_an_order_to_the_door(stack: Settings) -> None:
    done = paotui(stack, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("order.placed", "order.paid", "order.delivered", "/workflows/order%2F"):
        assert told in done.stdout


def test_a_day_is_lived_and_the_laws_hold(stack: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "9tiny"
    folder.mkdir()
    for name, text in DAY.items():
        (folder / name).write_text(text.replace("|" if "|" in text else " ", "\t"))
    words = ("--mdrp", str(tmp_path), "--instance", "9tiny", "--speed", "60", "--json")
    done = paotui(stack, "simulate", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    day = json.loads(done.stdout)
    assert (day["orders"], day["delivered"], day["without_end"]) == (5, 5, 0)
    assert day["good"]
    assert day["laws_checked"] > 0
    assert not day["laws_broken"]
    assert 10 < day["click_to_door_mean_minutes"] < 60
    assert "seeded sim-9tiny" in done.stderr


def test_without_such_a_day_it_says_what_there_is(stack: Settings, tmp_path: Path) -> None:
    done = paotui(stack, "simulate", "--mdrp", str(tmp_path), "--instance", "none")
    assert done.returncode == 1
    assert "no instance" in done.stderr
