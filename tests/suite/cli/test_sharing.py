"""What is said around publishing: before a table is made, and of options that the site does not follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.cli.sharing import require_publication, say_of_table_alone
from suite.errors import ConfigError


def test_what_cannot_be_published_is_refused_before_the_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --publish FOLDER with it"):
        require_publication("ours", None)
    with pytest.raises(ConfigError, match="is no name for a group"):
        require_publication("", tmp_path / "new")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="holds something else than published runs"):
        require_publication(None, tmp_path)
    with pytest.raises(ConfigError, match="Not a directory.*that you may write with --publish"):
        require_publication(None, tmp_path / "thesis.tex" / "site")
    require_publication(None, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_options_of_the_printed_table_are_said_not_to_be_of_the_site(capsys: pytest.CaptureFixture[str]) -> None:
    say_of_table_alone({"convention": None, "pool_orders": False})
    assert capsys.readouterr().err == ""
    say_of_table_alone({"convention": "gem", "pool_orders": True, "per_task": False})
    assert "leaderboard: --convention, --pool-orders are for the printed table; the site has" in capsys.readouterr().err
