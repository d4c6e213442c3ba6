"""Where the `temporal` binary comes from, in which order, and what is said when it can't."""

from pathlib import Path

import click
import pytest

from cli import temporal
from cli.report import Report
from services.settings import Settings
from tests.cli.conftest import text

FAKE_GO = """#!/bin/sh
echo "$@" > "{note}"
echo "go: downloading go.temporal.io/server v1.29.1" >&2
echo "google.golang.org/grpc" >&2
{act}
"""
MAKES_IT = 'printf "#!/bin/sh\\n" > "$GOBIN/temporal"; chmod +x "$GOBIN/temporal"'
NO_INTERNET = "raise SystemExit(1)"
DOWNLOADS = """
import pathlib, sys
path = pathlib.Path(sys.argv[1], "temporal-sdk-python")
path.write_text("#!/bin/sh")
path.chmod(0o755)
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH besides the shell's, and a cache of the test's own."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "chmod"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(temporal, "DOWNLOADER", NO_INTERNET)
    return folder


def _program(path: Path, script: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


async def test_setting_before_path_before_cache(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    cache = _program(temporal.cached())
    assert cache.parent.parent == tmp_path / "cache" / "paotui"
    assert await temporal.acquire(Settings(), report) == temporal.Binary(cache, "cache")
    on_path = _program(tools / "temporal")
    assert await temporal.acquire(Settings(), report) == temporal.Binary(on_path, "PATH")
    mine = _program(tmp_path / "mine")
    monkeypatch.setenv("PAOTUI_TEMPORAL_BINARY", str(mine))
    assert (await temporal.acquire(Settings(), report)).path == mine
    mine.chmod(0o600)
    with pytest.raises(click.ClickException, match="can't be executed"):
        await temporal.acquire(Settings(), report)


@pytest.mark.usefixtures("tools")
async def test_the_sdks_download_is_kept(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    monkeypatch.setattr(temporal, "DOWNLOADER", DOWNLOADS)
    assert await temporal.acquire(Settings(), report) == temporal.Binary(temporal.cached(), "cache")
    assert list(temporal.cached().parent.iterdir()) == [temporal.cached()]


@pytest.mark.usefixtures("tools")
async def test_a_download_that_gives_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    monkeypatch.setattr(temporal, "DOWNLOADER", "import time; time.sleep(60)")
    monkeypatch.setattr(temporal, "FIRST_BYTE_SECONDS", 0.3)
    with pytest.raises(click.ClickException, match="gave 0 MB"):
        await temporal.acquire(Settings(), report)


async def test_go_builds_what_can_not_be_downloaded(
    tools: Path, tmp_path: Path, report: Report
) -> None:
    note = tmp_path / "note"
    _program(tools / "go", FAKE_GO.format(note=note, act=MAKES_IT))
    junk = _program(temporal.cached().with_name("build.partial") / "half")
    binary = await temporal.acquire(Settings(), report)
    assert binary.path == temporal.cached()
    assert not junk.exists()
    assert note.read_text().split() == ["install", "-v", temporal.MODULE]
    said = text(report)
    assert "the SDK's download failed" in said
    assert "go: downloading go.temporal.io/server v1.29.1" in said
    assert (await temporal.acquire(Settings(), report)).source == "cache"


async def test_one_error_tells_all_that_was_tried(
    tools: Path, tmp_path: Path, report: Report
) -> None:
    with pytest.raises(click.ClickException, match="no Go toolchain"):
        await temporal.acquire(Settings(), report)
    _program(tools / "go", FAKE_GO.format(note=tmp_path / "note", act="exit 2"))
    with pytest.raises(click.ClickException) as failure:
        await temporal.acquire(Settings(), report)
    for part in (
        "PAOTUI_TEMPORAL_ADDRESS",
        "PAOTUI_TEMPORAL_BINARY",
        "on PATH",
        str(temporal.cached()),
        "the SDK's download failed",
        f"`go install {temporal.MODULE}` ended with 2",
        "install Go",
    ):
        assert part in failure.value.message
    assert list(temporal.cached().parent.iterdir()) == []
