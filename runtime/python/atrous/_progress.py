"""Long calls of the library that say how far they are and can be ended."""
from __future__ import annotations

import threading
from typing import Callable, List, Optional, TypeVar

from . import _library as c

Progress = Callable[[int, int], object]
T = TypeVar("T")


def watched(work: Callable[[Callable[..., int]], T], progress: Optional[Progress]) -> T:
    """work(callback), of the main thread in another one, since Python hears of Ctrl-C only where that runs Python. The
    callback is for C, which knows no exceptions: what `progress` raises is kept, as Ctrl-C is, C is told to stop, and
    the exception comes from here."""
    failure: List[BaseException] = []

    def callback(_: object, done: int, all_of_them: int) -> int:
        if progress is not None and not failure:
            try:
                progress(done, all_of_them)
            except BaseException as error:
                failure.append(error)
        return bool(failure)

    results: List[T] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append(work(callback))
        except BaseException as error:
            failure.append(error)
        finally:
            ended.set()

    if progress is not None and not callable(progress):
        raise c.Error(f"progress: expected a function, got {progress!r}")
    if threading.current_thread() is not threading.main_thread():
        run()
    else:
        worker = threading.Thread(target=run, name="atrous")
        worker.start()
        while not ended.is_set():
            try:
                ended.wait()
            except BaseException as error:  # Ctrl-C
                failure.append(error)
        worker.join()
    if failure:
        raise failure[0]
    return results[0]
