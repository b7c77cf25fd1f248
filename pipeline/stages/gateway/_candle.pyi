INTERFACE: int

Counted = tuple[int, int, int]

def candle(
    body: bytes, counted: dict[str, Counted], default: Counted, /
) -> tuple[str, bytes, int] | None: ...
