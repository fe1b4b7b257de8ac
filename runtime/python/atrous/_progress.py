"""Long calls of the library that say how far they are and can be ended."""
from __future__ import annotations

import concurrent.futures
from typing import Callable, List, Optional, TypeVar

Progress = Callable[[int, int], object]
T = TypeVar("T")


def watched(work: Callable[[Callable[..., int]], T], progress: Optional[Progress]) -> T:
    """work(callback) in another thread, since Python hears of Ctrl-C only where its main thread runs Python. The
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

    with concurrent.futures.ThreadPoolExecutor(1, "atrous") as worker:
        try:
            result = worker.submit(work, callback).result()
        except BaseException as error:
            failure.append(error)
    if failure:
        raise failure[0]
    return result
