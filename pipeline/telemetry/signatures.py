"""Wrappers with the parameters of what they wrap: calling one costs half of what `*args, **kwargs` does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect

_OWN = "_telemetry_"
"""Begins the names that a wrapper uses itself."""


def wrapper_like(function: Callable[..., Any], body: str, names: dict[str, Any]) -> Callable[..., Any]:
    """A function with the name, the parameters and the defaults of `function`, and this body, in which
    `_telemetry_call` stands for calling it and `_telemetry_x` for `names["x"]`.

    `body` starts with `def` or `async def` and has no parameters: `async def _telemetry_wrapper():`.
    """
    declared, passed = _parameters(function)
    own = {_OWN + name: value for name, value in names.items()} | {_OWN + "function": function}
    source = body.replace("wrapper()", f"wrapper({declared})")
    source = source.replace(_OWN + "call", f"{_OWN}function({passed})")
    exec(source, own)  # noqa: S102 - our own text, and parameter names that Python has parsed before
    wrapper: FunctionType = own[_OWN + "wrapper"]
    if isinstance(function, FunctionType) and declared != _ANYTHING:
        wrapper.__defaults__ = function.__defaults__
        wrapper.__kwdefaults__ = function.__kwdefaults__
    return functools.update_wrapper(wrapper, function)


_ANYTHING = "*args, **kwargs"


def _parameters(function: Callable[..., Any]) -> tuple[str, str]:
    """(as declared, as passed on)."""
    if not isinstance(function, FunctionType):
        return _ANYTHING, _ANYTHING
    import inspect

    found = inspect.signature(function, follow_wrapped=False).parameters.values()
    if any(one.name.startswith(_OWN) or not one.name.isidentifier() for one in found):
        return _ANYTHING, _ANYTHING
    bare = [one.replace(annotation=one.empty, default=one.empty) for one in found]
    # The signature's own text knows where `/` and `*` go, if nothing has a default.
    declared = str(inspect.Signature(bare, __validate_parameters__=False))[1:-1]
    return declared, ", ".join(_passed(one) for one in bare)


def _passed(one: inspect.Parameter) -> str:
    if one.kind is one.VAR_POSITIONAL:
        return f"*{one.name}"
    if one.kind is one.VAR_KEYWORD:
        return f"**{one.name}"
    return f"{one.name}={one.name}" if one.kind is one.KEYWORD_ONLY else one.name
