"""Those named, those of this machine, those of lists: who has a name or an address first."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.discovery.test_local_gateways import Desk
from tests.unit.discovery.test_target_lists import Desk as Lists
from watchdog.config import parse
from watchdog.discovery.every_gateway import EveryGateway


def test_a_list_takes_no_name_of_what_runs_here_after_a_restart_neither(tmp_path: Path) -> None:
    """Pause, quarantine and history go by the name. Of two names for one gateway the first is watched: that of this machine."""
    desk, lists = Desk(tmp_path), Lists(tmp_path)
    desk.profile("work", 18801, pid=7)
    targets = {"elsewhere.example:1": "work", "127.0.0.1:18801": "mine", "cell.example:1": "cell"}
    lists.write(json.dumps([{"targets": [target], "labels": {"name": name}} for target, name in targets.items()]))
    loaded = parse(f"gateways: [{{discover: {{file: '{lists.folder}/*.json'}}}}, {{discover: local}}]", env={})
    found = EveryGateway(lists.lists, desk.local).spelled_out(loaded).config.gateways
    assert [one.name for one in found] == ["work", "mine", "cell"]
    assert found[0].url is None, "it is found anew at every sign-in"
