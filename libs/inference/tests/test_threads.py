import contextvars
import threading

import pytest

from inference.threads import AbandonableThreads, HangingError


def _abandon(threads: AbandonableThreads, release: threading.Event) -> None:
    with pytest.raises(HangingError, match=r"within 0\.01 s"):
        threads.run(release.wait, 0.01)


def test_work_returns_what_it_returns_and_raises_what_it_raises() -> None:
    threads = AbandonableThreads("test")
    assert threads.run(lambda: 42, 60.0) == 42
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda: 1 // 0, 60.0)
    assert threads.start(lambda: "later").result(60.0) == "later"


def test_threads_are_used_again_and_never_keep_a_process_alive() -> None:
    threads = AbandonableThreads("test")
    used = [threads.run(threading.current_thread, 60.0) for _ in range(5)]
    assert len(set(used)) == 1
    assert used[0].daemon


def test_work_sees_the_context_of_its_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")
    assert AbandonableThreads("test").run(variable.get, 60.0) == "seen"


def test_a_time_out_of_the_work_itself_is_no_hanging() -> None:
    def work() -> None:
        raise TimeoutError("the work's own")

    with pytest.raises(TimeoutError, match="own"):
        AbandonableThreads("test").run(work, 60.0)


def test_work_that_hangs_is_abandoned_and_its_thread_ends_if_it_ever_returns() -> None:
    threads, release = AbandonableThreads("test"), threading.Event()
    before = set(threading.enumerate())
    _abandon(threads, release)
    (hanging,) = set(threading.enumerate()) - before
    assert threads.abandoned == 1
    assert threads.run(threading.current_thread, 60.0) is not hanging
    release.set()
    hanging.join(60.0)
    assert (hanging.is_alive(), threads.abandoned) == (False, 0)


def test_calls_of_several_threads_do_not_wait_for_each_other() -> None:
    threads, meeting = AbandonableThreads("test"), threading.Barrier(3, timeout=60.0)
    futures = [threads.start(meeting.wait) for _ in range(3)]
    assert sorted(future.result(60.0) for future in futures) == [0, 1, 2]
