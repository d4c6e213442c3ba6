"""`paotui doctor`: the checks one after another, as lines or as JSON."""

import asyncio
import json
from dataclasses import asdict

import click
import httpx
from rich.console import Console
from rich.text import Text

from cli import examinations
from cli.examinations import Finding, Patient, Verdict
from services.settings import configured

STYLE = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(*, as_json: bool) -> None:
    """Check every dependency, with a hint how to mend it; exit code 1 when one fails."""
    findings = asyncio.run(examine(Patient.of(configured())))
    healthy = all(finding.verdict is not Verdict.FAIL for finding in findings)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"ok": healthy, "checks": checks}, ensure_ascii=False))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            console.print(_line(finding))
    raise SystemExit(0 if healthy else 1)


async def examine(patient: Patient) -> list[Finding]:
    """All findings, in a stable order; asks everything at once."""
    async with httpx.AsyncClient(trust_env=False) as client:
        groups = await asyncio.gather(*(check(patient, client) for check in examinations.ALL))
    return [finding for group in groups for finding in group]


def _line(finding: Finding) -> Text:
    text = Text(f"{finding.verdict:<5}", style=STYLE[finding.verdict])
    text.append(f"{finding.name:<18} {finding.detail}", style="default")
    if finding.verdict is not Verdict.OK:
        text.append(f"\n{'':<5}{'':<18} → {finding.fix}", style="default")
    return text
