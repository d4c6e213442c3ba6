"""What OpenAPI says is what a client generator takes and what the routes do."""

import json
import subprocess
import sys
from pathlib import Path

from fastapi import FastAPI


def test_operations_have_names_tags_and_problems(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) >= 39
    for operation in operations:
        assert operation["tags"]
        refused = operation["responses"].get("422")
        if refused is not None:
            assert list(refused["content"]) == ["application/problem+json"]


def test_the_generator_takes_it(app: FastAPI, tmp_path: Path) -> None:
    document, made = tmp_path / "openapi.json", tmp_path / "client"
    document.write_text(json.dumps(app.openapi()))
    done = subprocess.run(
        [
            Path(sys.executable).parent / "openapi-python-client",
            *("generate", "--path", document, "--output-path", made),
            *("--meta", "none", "--fail-on-warning"),
        ],
        env={"PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "def sync" in (made / "api" / "orders" / "place_order.py").read_text()
    hot = (made / "api" / "orders" / "get_order.py").read_text()
    assert "order_id: str" in hot
    assert "live: bool" in hot
    hot = (made / "api" / "rider" / "report_positions.py").read_text()
    assert "body: Positions" in hot
