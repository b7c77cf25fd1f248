"""The live page of a real pipeline in a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from real_pipeline import Client, Running, candle, make_config, wait_for

from pipeline.config import Config

pytestmark = pytest.mark.timeout(240)
PAINT_MS = 500
TRANSFER_BYTES = 250_000
WITHIN_MS = 30_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Running]:
    del browser  # where there is none nothing needs to run
    config = make_config(tmp_path_factory.mktemp("page"), agent={"workers": 2}, exec={"workers": 2})
    with Running(config) as found:
        post(config, range(60))
        yield found


def post(config: Config, days: range, symbols: tuple[str, ...] = ("AAPL", "MSFT", "GOOG")) -> None:
    with contextlib.closing(Client(config)) as client:
        for day in days:
            for index, symbol in enumerate(symbols):
                close = f"{100 + (day * 7 + index * 5) % 37}.00"
                client.post_until_taken(f"{symbol}-{day}", candle(symbol, day, close))


def buy(config: Config, name: str) -> dict[str, Any]:
    event = {"type": "signal", "symbol": "AAPL", "side": "buy", "quantity": "10", "price": "101.25"}
    with contextlib.closing(Client(config)) as client:
        return client.post_until_taken(name, event)


def address(config: Config) -> str:
    return f"http://127.0.0.1:{config.feed.port}/"


@contextlib.contextmanager
def opened(browser: Any, config: Config, **wanted: Any) -> Iterator[Any]:
    """A page in a context of its own; anything that it complains about fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **wanted})
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Security Policy" in said.text else None)
    try:
        page.goto(address(config))
        yield page
    finally:
        context.close()
    assert complaints == []


def live(page: Any) -> None:
    page.wait_for_selector("#live.good")


def until(page: Any, expression: str) -> None:
    """Polls from outside: the page's own policy forbids what Playwright would evaluate in it."""
    wait_for(lambda: bool(page.evaluate(expression)), expression)


def seqs(page: Any) -> list[int]:
    found: list[int] = page.evaluate(
        "[...document.querySelectorAll('#events tbody tr')].map((row) => Number(row.dataset.seq))"
    )
    return found


def test_it_paints_at_once_and_asks_nobody_else(browser: Any, running: Running) -> None:
    paints, sizes, hosts = [], [], set()
    for _ in range(4):
        context = browser.new_context()
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        taken: list[float] = []
        session.on(
            "Network.dataReceived", lambda event, taken=taken: taken.append(event["encodedDataLength"])
        )
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(address(running.config))
        live(page)
        page.wait_for_selector("#golden tbody tr")
        paints.append(
            page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 1e9")
        )
        sizes.append(sum(taken))
        context.close()
    print(f"first paint {sorted(paints)} ms, transferred {sizes} bytes")
    assert min(paints) <= PAINT_MS
    assert 0 < max(sizes) <= TRANSFER_BYTES
    assert hosts == {urlsplit(address(running.config)).netloc}


def test_it_draws_every_worker_and_every_link(
    browser: Any, running: Running, shot: Callable[[Any, str], None]
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        for name in ("gateway-0", "agent-0", "agent-1", "exec-0", "exec-1", "audit-0"):
            page.wait_for_selector(f"#drawing text.name:text-is('{name}')")
        until(page, "document.querySelectorAll('#drawing path.wire').length === 8")
        told = page.get_attribute("#drawing svg", "aria-label")
        assert "agent: 2 workers" in told
        assert "gateway: 1 worker," in told
        up = "document.querySelector('#drawing svg').getAttribute('aria-label').includes('all links are up')"
        until(page, up)  # workers tell of their links every few seconds
        page.click("details summary")
        assert "gateway-0" in page.inner_text("#links")
        shot(page, "light")


def test_latencies_have_their_budget_their_count_and_their_loss(browser: Any, running: Running) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.click("[data-window=whole]")
        row = page.locator("#golden tr", has_text="END_TO_END")
        cells = row.locator("td").all_inner_texts()
        assert cells[5] == "45"
        assert cells[7] in ("met", "over budget")
        assert int(cells[8].replace(",", "")) >= 180
        assert cells[9] == "0"
        assert "no budget" in page.locator("#golden tr", has_text="JOURNAL_WRITE").inner_text()
        until(page, "document.querySelectorAll('.uplot canvas').length === 2")


def test_a_row_comes_by_itself_and_its_story_is_one_click_away(
    browser: Any, running: Running, shot: Callable[[Any, str], None]
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.wait_for_selector("#feed-state:not(.bad)")
        event_id = buy(running.config, "one-click")["event_id"]
        row = page.locator(f"#events tr[data-event='{event_id}']")
        assert "buy 10" in row.inner_text()
        row.locator("button").click()
        page.wait_for_selector("#story-body >> text=In the chain")
        assert event_id in page.inner_text("#story-title")
        told = page.inner_text("#story-body")
        assert "webhook-id one-click" in told
        assert "as standard, by secret" in told
        steps = ["accepted", "synced", "dispatched", "decided", "executed", "audited"]
        assert all(re.search(rf"^{step}\s+20\S+Z\s+[0-9.]+ ms$", told, re.MULTILINE) for step in steps)
        shot(page, "story")
        page.keyboard.press("Escape")
        assert not page.locator("#story").is_visible()


FOCUSED = (
    "document.activeElement.closest('#events tbody tr')?.dataset.event ?? document.activeElement.tagName"
)


@contextlib.contextmanager
def heartbeats(page: Any) -> Iterator[Callable[[int], None]]:
    """Yields what waits for so many more heartbeats of the feed, with the page loaded anew to hear them."""
    heard: list[str] = []

    def keep(told: str | bytes) -> None:
        heard.extend(["beat"] * ('"type":"heartbeat"' in str(told)))

    page.on("websocket", lambda socket: socket.on("framereceived", keep))
    page.reload()
    live(page)

    def beats(count: int) -> None:
        until_so_many = len(heard) + count
        wait_for(lambda: page.evaluate("1") and len(heard) >= until_so_many, "heartbeats")

    yield beats


def test_the_focus_stays_on_its_row_while_nothing_happens(browser: Any, running: Running) -> None:
    with opened(browser, running.config) as page, heartbeats(page) as beats:
        beats(1)
        page.wait_for_selector("#events tbody button")
        page.keyboard.press("e")
        focused = page.evaluate(FOCUSED)
        assert focused != "BODY"
        beats(3)
        assert page.evaluate(FOCUSED) == focused


def test_a_closed_story_gives_the_focus_back_to_who_opened_it(browser: Any, running: Running) -> None:
    with opened(browser, running.config) as page, heartbeats(page) as beats:
        beats(1)
        page.wait_for_selector("#events tbody button")
        page.keyboard.press("e")
        focused = page.evaluate(FOCUSED)
        page.keyboard.press("Enter")
        page.wait_for_selector("#story-body >> text=In the chain")
        event_id = buy(running.config, "while-a-story-is-open")["event_id"]
        page.wait_for_selector(f"#events tr[data-event='{event_id}']", state="attached")
        beats(2)
        page.keyboard.press("Escape")
        until(page, f"({FOCUSED}) === '{focused}'")
        beats(2)
        assert page.evaluate(FOCUSED) == focused


def test_positions_outcomes_and_throttles_are_those_of_the_audit(browser: Any, running: Running) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.wait_for_selector("#positions tbody tr")
        page.wait_for_selector("#throttles tbody tr")
        assert "held" in page.inner_text("#outcomes")
        assert "net" in page.inner_text("#positions thead")


def test_old_data_is_greyed_and_says_how_old_it_is(
    browser: Any, running: Running, shot: Callable[[Any, str], None]
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        collector = running.pid("collector")
        assert collector is not None
        os.kill(collector, signal.SIGSTOP)
        try:
            page.wait_for_selector("body.stale")
            assert "stale" in page.inner_text("#live")
            assert float(page.evaluate("getComputedStyle(document.querySelector('#drawing')).opacity")) < 1
            page.wait_for_selector("#trouble:visible")
            assert "collector" in page.inner_text("#trouble")
            assert page.locator("body.book-stale").count() == 0, "the audit is there"
            shot(page, "stale")
        finally:
            os.kill(collector, signal.SIGCONT)
        live(page)
        assert page.locator("body.stale").count() == 0


LIVES = """() => {
    window.lives = [];
    new MutationObserver(() => window.lives.push(document.querySelector("#live").textContent))
        .observe(document.querySelector("#live"), {childList: true});
}"""


def test_who_comes_back_after_the_collector_fell_silent_is_told_nothing_old_as_live(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.wait_for_selector("#positions tbody tr")
        hide(page, True)
        collector = running.pid("collector")
        assert collector is not None
        os.kill(collector, signal.SIGSTOP)
        try:
            page.wait_for_selector("body.stale")
            page.evaluate(LIVES)
            hide(page, False)
            page.wait_for_selector("#trouble:visible")
            assert [text for text in page.evaluate("window.lives") if text.startswith("live")] == []
            with opened(browser, running.config) as other:
                other.wait_for_selector("#trouble:visible")
                assert "stale" in other.inner_text("#live")
        finally:
            os.kill(collector, signal.SIGCONT)
        live(page)


def hide(page: Any, hidden: bool) -> None:
    """Says to the page that nobody sees it, or that somebody does again."""
    value = str(hidden).lower()
    page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_what_a_silent_server_told_is_greyed_with_all_the_audit_adds_up_to(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.wait_for_selector("#positions tbody tr")
        feed = running.pid("feed")
        assert feed is not None
        os.kill(feed, signal.SIGSTOP)
        try:
            page.wait_for_selector("body.stale.book-stale")
            for place in ("#drawing", "#positions", "#throttles", "#outcomes", "#denials"):
                until(page, f"getComputedStyle(document.querySelector('{place}')).opacity < 0.5")
        finally:
            os.kill(feed, signal.SIGCONT)
        live(page)
        assert page.locator("body.book-stale").count() == 0


def test_after_the_feed_died_it_goes_on_without_a_gap(browser: Any, running: Running) -> None:
    with opened(browser, running.config) as page:
        page.check("#held")
        until(page, "document.querySelectorAll('#events tbody tr').length > 5")
        before = max(seqs(page))
        running.kill("feed")
        post(running.config, range(70, 76))
        until(page, f"Number(document.querySelector('#events tbody tr')?.dataset.seq) >= {before + 18}")
        found = seqs(page)
        assert found == list(range(found[0], found[0] - len(found), -1))
        assert found[-1] <= before
        assert "out of order" not in page.inner_text("#events-words")
        live(page)


PLOTTED = """async () => {
    const { Plots } = await import("/page/plots.js");
    const plots = new Plots(document.createElement("div"), document.createElement("div"));
    const point = (number, second) => [number, second * 1000, 1, 0, number, number, number, 1, [0, 0, 0]];
    const told = [];
    const hear = (epoch, ...points) => {
        plots.epoch = epoch;
        plots.add(points);
        told.push([plots.place, ...plots.latency.data[1]]);
    };
    hear("a", point(1, 1), point(2, 2), point(3, 3));
    hear("a", point(4, 4));
    hear("b", point(5, 7), point(6, 8));
    hear("b", point(9, 11));
    hear("c", point(1, 10), point(2, 12));
    return [told, plots.latency.data[0]];
}"""


def test_plots_end_their_lines_where_another_server_began_or_points_are_missing(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        told, moments = page.evaluate(PLOTTED)
    assert told == [
        ["a:3", 1, 2, 3],
        ["a:4", 1, 2, 3, 4],
        ["b:6", 1, 2, 3, 4, None, 5, 6],
        ["b:9", 1, 2, 3, 4, None, 5, 6, None, 9],
        ["c:2", 1, 2, 3, 4, None, 5, 6, None, 1, 2],
    ]
    assert moments == sorted(moments)


def test_a_page_that_was_hidden_while_the_server_began_anew_asks_with_the_place_of_the_old_one(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        until(page, "/ms of|last 5 s/.test(document.querySelector('#latency-words').textContent)")
        places: list[str] = []
        page.on("response", lambda answer: places.append(answer.url.partition("/v1/live?after=")[2]))
        for hidden in ("true", "false"):
            page.evaluate(
                f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}})"
            )
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            if hidden == "true":
                running.kill("feed")
        wait_for(lambda: page.evaluate("1") and any(places), "the new server answers")
        live(page)
        epoch, _, number = next(filter(None, places)).partition(":")
        assert len(epoch) == 16
        assert int(number) > 0


def test_halt_and_resume_by_keyboard_behind_a_confirmation(
    browser: Any, running: Running, shot: Callable[[Any, str], None]
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.keyboard.press("h")
        page.wait_for_selector("#control:visible")
        assert page.evaluate("document.activeElement.id") == "control-no", "Enter alone must change nothing"
        shot(page, "halt")
        page.keyboard.press("Enter")
        assert not page.locator("#control").is_visible()
        page.keyboard.press("h")
        page.keyboard.press("Shift+Tab")
        page.keyboard.type("a test")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#control-said >> text=Accepted as event")
        page.keyboard.press("Escape")
        page.wait_for_selector("#halted:visible")
        page.keyboard.press("r")
        page.click("#control-yes")
        page.wait_for_selector("#control-said >> text=Accepted as event")
        page.keyboard.press("Escape")
        page.wait_for_selector("#halted", state="hidden")
        page.wait_for_selector("#events tbody >> text=halt: a test")
        page.wait_for_selector("#events tbody >> text=resume")
        page.reload()
        page.wait_for_selector("#events tbody >> text=halt: a test")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_all_without_scrolling_sideways(
    browser: Any, running: Running, shot: Callable[[Any, str], None], scheme: str
) -> None:
    phone = {"width": 390, "height": 844}
    with opened(browser, running.config, viewport=phone, color_scheme=scheme, has_touch=True) as page:
        live(page)
        page.wait_for_selector("#drawing svg")
        page.wait_for_selector("#positions tbody tr")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
            ".map((text) => text.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"
        )
        assert (ink > paper) == (scheme == "dark")
        shot(page, f"phone-{scheme}")


def test_with_tokens_nothing_is_shown_before_one_and_reading_is_not_controlling(
    browser: Any, tmp_path: Any
) -> None:
    read, control = tmp_path / "read", tmp_path / "control"
    read.write_text("r" * 32)
    control.write_text("c" * 32)
    tokens = {"read_token_files": [str(read)], "control_token_files": [str(control)]}
    config = make_config(tmp_path, feed=tokens)
    with Running(config):
        with opened(browser, config) as page:
            page.wait_for_selector("#token:visible")
            for _ in range(3):  # a browser lets itself be refused once only
                page.keyboard.press("Escape")
            until(page, "document.querySelector('#token').open")
            assert page.locator("#drawing svg").count() == 0
            assert page.inner_text("#token-said") == ""
            page.fill("#token-text", "w" * 32)
            page.click("#token-yes")
            until(
                page, "document.querySelector('#token-said').textContent.includes('does not know this token')"
            )
            assert page.locator("#drawing svg").count() == 0
            page.fill("#token-text", "r" * 32)
            page.click("#token-yes")
            live(page)
            page.wait_for_selector("#feed-state:not(.bad)")
            assert page.locator("[data-action]:enabled").count() == 0
            page.click("#other-token")
            page.click("#token-no")
            page.wait_for_selector("#token", state="hidden")
            page.click("#other-token")
            page.fill("#token-text", "c" * 32)
            page.keyboard.press("Enter")
            until(page, "document.querySelectorAll('[data-action]:enabled').length === 3")
        with opened(browser, config) as page:
            page.fill("#token-text", "c" * 32)
            page.keyboard.press("Enter")
            live(page)
            until(page, "document.querySelectorAll('[data-action]:enabled').length === 3")


@contextlib.contextmanager
def held_back(page: Any, path: str) -> Iterator[Callable[[], None]]:
    """The first request of `path` waits until the function that is yielded is called; others pass."""
    kept: list[Any] = []

    def hold(route: Any) -> None:
        if kept:
            route.continue_()
        else:
            kept.append(route)

    def let_go() -> None:
        kept.pop().continue_()
        kept.append(None)

    page.route(path, hold)
    try:
        yield let_go
    finally:
        page.unroute(path)


def test_a_late_answer_is_told_beside_and_never_in_another_controls_dialog(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page, held_back(page, "**/v1/control") as let_go:
        live(page)
        page.keyboard.press("r")
        page.click("#control-yes")
        page.wait_for_selector("#control-said >> text=on its way")
        page.keyboard.press("Escape")
        page.wait_for_selector("#notices >> text=resume is on its way")
        page.keyboard.press("f")
        page.wait_for_selector("#control-title >> text=Flatten and halt?")
        let_go()
        page.wait_for_selector("#notices >> text=resume accepted as event")
        assert "on its way" not in page.inner_text("#notices")
        assert page.inner_text("#control-said") == ""
        assert page.inner_text("#control-yes") == "Flatten every position"
        assert page.inner_text("#control-no") == "Cancel"
        page.click("#control-no")
        page.click("#notices >> text=its story")
        page.wait_for_selector("#story-title >> text=Event")


def test_a_late_story_is_not_shown_under_the_title_of_another_event(browser: Any, running: Running) -> None:
    buy(running.config, "story-one")
    buy(running.config, "story-two")
    with opened(browser, running.config) as page, held_back(page, "**/v1/events/*") as let_go:
        page.wait_for_selector("#events tbody tr:nth-child(2) button")
        events = page.evaluate(
            "[...document.querySelectorAll('#events tbody tr')].slice(0, 2).map((row) => row.dataset.event)"
        )
        for event_id in events:
            page.click(f"#events tr[data-event='{event_id}'] button")
            page.wait_for_selector(f"#story-title >> text={event_id}")
            if event_id == events[0]:
                page.keyboard.press("Escape")
        page.wait_for_selector("#story-body >> text=In the chain")
        told = page.inner_text("#story-body")
        with page.expect_response("**/v1/events/*"):
            let_go()
        page.evaluate("new Promise((done) => setTimeout(done, 100))")
        assert page.inner_text("#story-body") == told


def test_a_page_that_nobody_sees_has_no_feed_open_and_one_that_is_seen_has_one(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.wait_for_selector("#feed-state:not(.bad)")
        there: set[Any] = set()

        def keep(socket: Any) -> None:
            there.add(socket)
            socket.on("close", lambda gone: there.discard(gone))

        page.on("websocket", keep)
        for _ in range(10):
            hide(page, True)
            hide(page, False)
        page.wait_for_selector("#feed-state:not(.bad)")
        wait_for(lambda: page.evaluate("1") and len(there) == 1, "one feed")
        page.check("#held")
        hide(page, True)
        wait_for(lambda: page.evaluate("1") and not there, "no feed")
        page.evaluate("new Promise((done) => setTimeout(done, 300))")
        assert not there


RESUMED = """async (known) => {
    const { Rows } = await import("/page/rows.js");
    const rows = new Rows(() => {});
    const heard = async () => { while (rows.fault) await new Promise((done) => setTimeout(done, 20)); };
    rows.start(true);
    await heard();
    rows.stop();
    const [before, next] = [rows.rows, rows.next];
    if (known) rows.known = [known, "00".repeat(32)];
    rows.fault = "not heard yet";
    rows.start();
    await heard();
    rows.stop();
    return [rows.audit, rows.rows === before, rows.next >= next, rows.skipped];
}"""


@pytest.mark.parametrize(("known", "audit"), [(0, 1), (2, 2)])
def test_it_goes_on_in_the_same_audit_and_begins_anew_in_another(
    browser: Any, running: Running, known: int, audit: int
) -> None:
    with opened(browser, running.config) as page:
        urls: list[str] = []
        page.on("websocket", lambda socket: urls.append(socket.url))
        assert page.evaluate(RESUMED, known) == [audit, audit == 1, True, 0]
        wait_for(lambda: page.evaluate("1") and len(urls) >= 2, "feeds")
        assert all("&after_hash=" in url for url in urls)


def test_shortcuts_work_after_a_box_was_ticked_and_a_server_that_is_away_is_said_in_words_of_ours(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        page.check("#held")
        page.route("**/v1/control", lambda route: route.abort())
        page.keyboard.press("h")
        page.click("#control-yes")
        page.wait_for_selector("#control-said >> text=no answer: the server is away")


def test_who_hears_the_page_is_told_that_it_is_live_and_not_how_old_it_is_all_the_time(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config) as page:
        live(page)
        assert page.get_attribute("#live", "role") is None
        assert page.inner_text("#live-said") == "live"
        page.evaluate(LIVES.replace("#live", "#live-said"))
        page.evaluate("new Promise((done) => setTimeout(done, 700))")
        assert page.evaluate("window.lives") == []


DRAWN = """async () => {
    const { Plots, alone } = await import("/page/plots.js");
    const plots = new Plots(document.createElement("div"), document.createElement("div"));
    return [
        plots.latency.axes[1].values(plots.latency, [0.5, 1000]),
        plots.rate.axes[2].values(plots.rate, [20]),
        alone([null, 1, null, 2, 3, null, 4]), alone([5]), alone([]),
    ];
}"""


def test_ticks_are_written_like_every_number_and_a_lone_point_is_a_dot(
    browser: Any, running: Running
) -> None:
    with opened(browser, running.config, locale="ar-EG") as page:
        assert page.evaluate(DRAWN) == [["0.5", "1,000"], ["20"], [1, 6], [0], []]


def test_a_halt_before_the_first_key_is_on_the_page_until_it_ends(browser: Any, tmp_path: Any) -> None:
    config = make_config(tmp_path)
    with Running(config), opened(browser, config) as page:
        live(page)
        page.keyboard.press("h")
        page.fill("#control-reason", "before the open")
        page.click("#control-yes")
        page.wait_for_selector("#control-said >> text=Accepted as event")
        page.keyboard.press("Escape")
        page.wait_for_selector("#halted >> text=halted: every key that is new")
        assert page.get_attribute("#halted", "title") == "halt: before the open"
        page.keyboard.press("r")
        page.click("#control-yes")
        page.wait_for_selector("#control-said >> text=Accepted as event")
        page.wait_for_selector("#halted", state="hidden")
