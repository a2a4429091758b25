# SPDX-License-Identifier: Apache-2.0
"""Shows how deep valid inputs come in the parser of a target.

A target that is blind passes with every input: what it calls raises at once, and the target takes
that for a refusal.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

from tests.fuzz import harness


def valid(name: str) -> list[bytes]:
    """Return the kept inputs of a target that are valid, by the names of their files."""
    return [path.read_bytes() for path in sorted((harness.CORPUS / name).glob("valid*"))]


def missed(target: harness.Target, inputs: Iterable[bytes]) -> set[str]:
    """Give a target valid inputs; return which of its depths return for none of them.

    :raises BaseException: what the target refuses an input with.
    """
    codes = {_code(one): one.__qualname__ for one in target.depths}
    seen: set[CodeType] = set()
    with target.ready(), harness.silence():
        for data in inputs:
            with _watched(codes, seen):
                list(target.read(data))
    return {name for code, name in codes.items() if code not in seen}


def _code(function: Callable[..., Any]) -> CodeType:
    plain: Any = inspect.unwrap(getattr(function, "__func__", function))
    code: CodeType = plain.__code__
    return code


@contextlib.contextmanager
def _watched(codes: Iterable[CodeType], seen: set[CodeType]) -> Iterator[None]:
    """Note which functions return; one that an exception leaves does not."""
    wanted = set(codes)

    def enter(frame: FrameType, *_: Any) -> Any:
        if frame.f_code not in wanted:
            return None
        is_raising = False

        def inside(_: FrameType, event: str, __: Any) -> Any:
            nonlocal is_raising
            if event == "return" and not is_raising:
                seen.add(frame.f_code)
            is_raising = event == "exception"
            return inside

        return inside

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)
