"""The command compares a channel's day at once and says what differs by its exit."""

import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from activities.reconciliation import ReconciliationActs
from domain.channels import BillKind
from domain.outcomes import Accepted
from services.db import Database
from services.gateways import Gateways
from tests.account import live, open_account
from tests.bills import DAY, plant, town
from tests.workers.test_finance import NOT_READY, QUIET_DAY, Desk, bills
from workers.reconcile import reconcile


async def test_the_four_results_and_each_difference_are_printed(
    database: Database, site_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    who = await open_account(database, site_id)
    made = town(3, 20, prefix=site_id)
    expected = plant(made, ["only_ours", "fee"])
    await live(database, who, made)
    desk = Desk(answers={kind: [Accepted(value=bill)] for kind, bill in bills(made).items()})
    acts = ReconciliationActs(database, cast("Gateways", desk))
    asked = {"channel": who.channel, "day": DAY, "account_id": who.account_id}
    assert await reconcile(acts, **asked) == (2, 0)
    *lines, summary = capsys.readouterr().out.splitlines()
    words = {tuple(line.split()[2:6]) for line in lines}
    assert words == {tuple(str(word) for word in one) for one in expected}
    matches = len(made.bill) - sum(one[1] == "fee" for one in expected)
    results = f"match {matches}  only_ours 1  only_theirs 0  differs 1"
    assert summary == f"wechat  {DAY}  {results}"

    desk.answers[BillKind.TRADE] = [NOT_READY]
    assert await reconcile(acts, **asked) == (0, 1)
    assert "not compared: trade bill not_ready" in capsys.readouterr().out

    quiet = asked | {"day": QUIET_DAY}
    assert await reconcile(acts, **quiet) == (0, 0)
    assert "no bill, and no business that we know of" in capsys.readouterr().out


def test_the_command_line_says_when_there_is_nothing_to_compare(
    postgres_url: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from cli.main import main; main()", "reconcile"),
            *("--channel", "none", "--date", str(DAY)),
        ],
        env=os.environ | {"PAOTUI_DATABASE_URL": postgres_url, "PAOTUI_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "no account of the channel none\n")
