"""Reading ahead changes neither the items nor their errors, and leaves no thread behind."""

from __future__ import annotations

import threading
import time

import pytest

from canopy.mapping.prefetch import prefetched


def counting(count, seen, closed):
    try:
        for number in range(count):
            seen.append(number)
            yield number
    finally:
        closed.append(threading.current_thread())


def test_items_come_in_order_and_the_thread_ends():
    before = threading.active_count()
    closed = []
    with prefetched(counting(20, [], closed)) as items:
        assert list(items) == list(range(20))
    assert threading.active_count() == before
    assert len(closed) == 1


def test_the_generator_runs_and_ends_in_its_own_thread():
    closed = []
    with prefetched(counting(3, [], closed)) as items:
        list(items)
    assert closed[0] is not threading.current_thread()


def test_an_error_comes_where_its_item_would_have():
    def failing():
        yield 1
        yield 2
        msg = "the disk is gone"
        raise OSError(msg)

    with prefetched(failing()) as items:
        assert next(items) == 1
        assert next(items) == 2
        with pytest.raises(OSError, match="the disk is gone"):
            next(items)


def test_leaving_early_closes_the_generator():
    before = threading.active_count()
    seen, closed = [], []
    with prefetched(counting(1000, seen, closed)) as items:
        assert next(items) == 0
    assert closed
    assert len(seen) < 10
    assert threading.active_count() == before


def test_an_error_of_the_user_passes_and_ends_the_thread():
    before = threading.active_count()
    closed = []

    def use_wrongly():
        with prefetched(counting(1000, [], closed)) as items:
            next(items)
            raise KeyError

    with pytest.raises(KeyError):
        use_wrongly()
    assert closed
    assert threading.active_count() == before


def test_the_next_item_is_made_while_this_one_is_used():
    made = threading.Event()

    def two():
        yield 1
        made.set()
        yield 2

    with prefetched(two()) as items:
        next(items)
        assert made.wait(timeout=5)


def test_no_more_than_one_item_waits_while_another_is_held_ready():
    seen = []
    with prefetched(counting(100, seen, [])) as items:
        for expected in range(10):
            assert next(items) == expected
            assert len(seen) <= expected + 4


def test_a_turn_is_left_while_an_item_is_waited_for_and_else_kept():
    turn, late, log = threading.Lock(), threading.Event(), []

    def stalling():
        yield 1
        yield 2
        late.wait(timeout=5)
        yield 3

    def other():
        with turn:
            log.append("other")
        late.set()

    with prefetched(stalling(), turn) as items:
        assert next(items) == 1
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.1)  # in which the next item comes
        log.extend(items)
        thread.join()
    assert log == [2, "other", 3]
    assert not turn.locked()


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_turn_ends_with_an_error_of_the_user_or_of_the_items(error):
    turn = threading.Lock()

    def failing():
        yield 1
        raise OSError

    def use(items):
        assert next(items) == 1
        assert turn.locked()
        if error is KeyError:
            raise KeyError
        next(items)

    with pytest.raises(error), prefetched(failing(), turn) as items:
        use(items)
    assert not turn.locked()
