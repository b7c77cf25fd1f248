INTERFACE: int

def request(
    data: bytes, most_headers: int, /
) -> tuple[bytes, dict[bytes, bytes], bytes] | None: ...
