"""What is wrong between keys of a configuration, and which keys it is about."""

from __future__ import annotations

import re
from typing import NamedTuple


class Fault(NamedTuple):
    """One line, and the keys whose values it is about; without any, the key that the line begins with."""

    text: str
    keys: tuple[str, ...] = ()

    def involves(self, dropped: str) -> bool:
        """Whether `dropped`, a key or a section, is one of the keys, holds one or is inside one."""
        keys = self.keys or (re.split(r":? ", self.text, maxsplit=1)[0],)
        return any(_inside(key, dropped) or _inside(dropped, key) for key in keys)


def _inside(key: str, section: str) -> bool:
    return key == section or key.startswith((section + ".", section + "["))
