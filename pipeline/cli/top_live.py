"""The loop of `ringline top`: draws again when something came, and as what is shown ages."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from pipeline.cli.top_screen import screen
from pipeline.cli.top_stream import Source, View
from pipeline.errors import EXIT_OK

__all__ = ["Source", "run", "screen_text"]

AGE_S = 0.5
LEAST_S = 0.1
PLAIN_EVERY_S = 5.0
PLAIN_WIDTH = 100
_PLAIN = str.maketrans({"→": "->"} | dict(zip("–·…▁▂▃▄▅▆▇█", "-;.__.--=##", strict=True)))


def screen_text(view: View, width: int | None = None) -> str:
    """One frame as plain text, in the encoding of the output: other characters become plain ones."""
    width = width or shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, color_system=None, legacy_windows=False)
    console.print(screen(view, width, time.monotonic()))
    lines = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    return plain(lines, sys.stdout.encoding or "ascii")


def plain(text: str, encoding: str) -> str:
    """`text` with what `encoding` cannot say put otherwise."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def run(source: Source, width: int | None) -> int:
    """Until q, Ctrl-C or the end of the input."""
    view = source.one(patience_s=AGE_S)
    news = threading.Event()
    thread = threading.Thread(target=source.follow, args=(view, news.set), daemon=True)
    thread.start()
    try:
        if os.environ.get("TERM", "dumb") in ("", "dumb"):
            _print_now_and_then(view, width)
        else:
            _draw(view, width, news)
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        source.stop()
    return EXIT_OK


def _print_now_and_then(view: View, width: int | None) -> None:
    """A terminal that cannot go back prints a frame after the other."""
    while True:
        print(screen_text(view, width), end="\n\n", flush=True)
        time.sleep(PLAIN_EVERY_S)


def _draw(view: View, width: int | None, news: threading.Event) -> None:
    console = Console()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while not pressed():
            size = console.size
            shown = screen(view, width or size.width, time.monotonic(), size.height)
            live.update(shown, refresh=True)
            news.wait(AGE_S)
            news.clear()
            time.sleep(LEAST_S)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether q was pressed; the terminal is as before afterwards."""
    if not sys.stdin.isatty():
        yield lambda: False
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)

    def pressed() -> bool:
        while select.select([fd], [], [], 0)[0]:
            key = os.read(fd, 1)
            if key in (b"q", b"Q", b""):
                return True
        return False

    try:
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
