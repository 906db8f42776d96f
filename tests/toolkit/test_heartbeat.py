"""Who is taken for lost, and who is not, round by round; test_processes has the real processes."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from edgefit_toolkit.errors import PeerLost
from edgefit_toolkit.training.heartbeat import SIGNS, Heartbeat

LIMIT_S = 300.0
EVERY_S = LIMIT_S / SIGNS


@pytest.fixture
def three() -> list[Heartbeat]:
    store = HashStore()
    return [Heartbeat(store, rank, 3, LIMIT_S) for rank in range(3)]


def test_one_sign_in_time_keeps_a_process_alive_and_none_names_it(three: list[Heartbeat]) -> None:
    first, second, slow = three
    for _ in range(3):
        slow.beat(0.0)
        for _ in range(SIGNS):  # the last of these is as late as can be
            second.beat(EVERY_S)
            first.beat(EVERY_S)
        first.check()
        assert first.suspect().startswith("process 2 of 3")  # by whom, if a step had no answer now
    first.beat(EVERY_S)
    with pytest.raises(PeerLost, match=r"^process 2 of 3 .*no sign of life for 5 min"):
        first.check()
    second.check()


def test_a_pause_of_all_takes_nobody_for_lost(three: list[Heartbeat]) -> None:
    first, second, _ = three
    for _ in range(100):  # whatever the clock says, so many looks were made with no time in between
        first.beat(0.0)
    first.check()
    assert second.suspect() == first.suspect() == ""


def test_a_meeting_waits_for_all(three: list[Heartbeat]) -> None:
    came: list[int] = []
    gate = threading.Event()

    def takes_part(heartbeat: Heartbeat) -> None:
        with ExitStack() as stack:
            stack.enter_context(heartbeat.beating())
            if heartbeat.rank == 2:
                gate.wait()
            heartbeat.meet()
            came.append(heartbeat.rank)

    threads = [threading.Thread(target=takes_part, args=(heartbeat,)) for heartbeat in three]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)
    assert came == []
    gate.set()
    for thread in threads:
        thread.join(60)
    assert sorted(came) == [0, 1, 2]
