"""The order in which threads compute."""

import time
from threading import Thread

from ml_playground.analysis.lit.turns import Turns


def test_threads_get_their_turn_in_the_order_in_which_they_asked() -> None:
    turns, order = Turns(), list[int]()

    def ask(number: int) -> None:
        with turns:
            order.append(number)

    threads = [Thread(target=ask, args=(number,)) for number in range(5)]
    with turns:
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            while turns.waiting < waiting:
                time.sleep(0.001)
        assert order == []
    with turns:  # asked for last
        assert order == [0, 1, 2, 3, 4]
    for thread in threads:
        thread.join()


def test_a_turn_ends_with_an_error() -> None:
    turns = Turns()
    for _ in range(2):
        try:
            with turns:
                raise ValueError
        except ValueError:
            assert turns.waiting == 0


def test_nobody_gets_a_turn_after_the_end() -> None:
    turns, order = Turns(), list[int]()
    turns.stop()

    def ask() -> None:
        with turns:
            order.append(1)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    while not turns.waiting:
        time.sleep(0.001)
    assert order == []
