"""Alert rules ask for figures that there are and fire when they should, says Prometheus itself."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from cli.ports import PREFERRED
from services import metrics
from tests.go import built

DOCKER = Path(__file__).resolve().parents[2] / "docker"
RULES = sorted((DOCKER / "alerts").glob("*.yml"))
CASES = DOCKER / "alerts" / "tests"
VERSION = "0.316.0"
"""The first without `replace` lines whose build leaves the clouds' SDKs out, by this flag."""
FLAGS = ("-tags", "remove_all_sd")
SECONDS = 120
SELECTED = re.compile(r"(paotui_[a-z_]+)(?:\{([^}]*)\})?")
MADE = {"instance", "le"}
"""Labels that Prometheus adds."""
ENDINGS = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
}


@pytest.fixture(scope="module")
def promtool() -> Path:
    return built("github.com/prometheus/prometheus/cmd/promtool", VERSION, *FLAGS)


def run(promtool: Path, *words: str | Path, folder: Path = DOCKER) -> str:
    """What it says, with its exit code in front."""
    done = subprocess.run(
        [promtool, *words],
        cwd=folder,
        timeout=SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"{done.returncode}: {done.stdout}"


def alerts(path: Path) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def known() -> dict[str, set[str]]:
    """Every series of our registry, and its labels."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for ending in ENDINGS[metric._type]:
                found[metric._name + ending] = set(metric._labelnames)
    return found


def test_prometheus_takes_our_configuration(promtool: Path) -> None:
    said = run(promtool, "check", "config", "prometheus.yml")
    assert said.startswith("0: "), said
    assert f"{len(RULES)} rule files found" in said


def test_it_asks_every_process_where_the_stack_shows_its_figures() -> None:
    told = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    asked = {job["job_name"]: job["static_configs"][0]["targets"] for job in told}
    windows = {name: port for name, port in PREFERRED.items() if name.endswith("_metrics")}
    assert asked == {
        name.removesuffix("_metrics"): [f"127.0.0.1:{port}"] for name, port in windows.items()
    }


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_fire_when_they_should(promtool: Path, path: Path) -> None:
    said = run(promtool, "test", "rules", path.name, folder=CASES)
    assert said.startswith("0: "), said


def test_a_threshold_that_moved_is_found(promtool: Path, tmp_path: Path) -> None:
    shutil.copytree(DOCKER / "alerts", tmp_path, dirs_exist_ok=True)
    moved = (DOCKER / "alerts" / "payments.yml").read_text().replace("> 120", "> 180")
    (tmp_path / "payments.yml").write_text(moved)
    said = run(promtool, "test", "rules", "payments.yml", folder=tmp_path / "tests")
    assert said.startswith("1: "), said


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_alert_is_seen_firing(path: Path) -> None:
    told = yaml.safe_load((CASES / path.name).read_text())["tests"]
    fired = set()
    for case in told:
        for check in case.get("alert_rule_test", []):
            fired |= {check["alertname"] for _ in check.get("exp_alerts", [])}
        for check in case.get("promql_expr_test", []):
            samples = check.get("exp_samples", [])
            fired |= set(re.findall(r'alertname="(\w+)"', "".join(s["labels"] for s in samples)))
    assert set(alerts(path)) - fired == set()


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_ask_for_figures_and_labels_that_there_are(path: Path) -> None:
    series = known()
    for name, rule in alerts(path).items():
        asked = SELECTED.findall(rule["expr"])
        assert asked, name
        for metric, matchers in asked:
            assert metric in series, name
            assert set(re.findall(r"(\w+)=", matchers)) <= series[metric], name
        grouped = re.findall(r"by \(([^)]*)\)", rule["expr"])
        labels = set().union(MADE, *(series[metric] for metric, _ in asked))
        assert set(re.findall(r"\w+", " ".join(grouped))) <= labels, name
        assert rule["labels"].keys() == {"severity", "owner"}, name
        assert rule["annotations"].get("summary"), name
        assert rule["annotations"].get("action"), name


def test_the_page_lists_every_figure_and_every_alert() -> None:
    page = (DOCKER.parent / "docs" / "figures.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\|", page, re.MULTILINE))
    figures = {name: labels for name, labels in rows.items() if name.startswith("paotui_")}
    ours = {
        metric._name + ("_total" if metric._type == "counter" else ""): ", ".join(
            metric._labelnames
        )
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    assert figures == ours
    ends = dict(re.findall(r"^\| `([A-Z]\w+)` \|.*\| (\w+) \|$", page, re.MULTILINE))
    rules = {name: rule for path in RULES for name, rule in alerts(path).items()}
    assert ends == {name: rule["labels"]["severity"] for name, rule in rules.items()}
