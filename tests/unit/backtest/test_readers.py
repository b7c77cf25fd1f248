from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pyarrow
import pytest
from pyarrow import parquet

from pipeline.backtest.date_order import DateOrder
from pipeline.backtest.readers import read_candles
from pipeline.config.schema import Instrument, Trading
from pipeline.errors import MissingError, RinglineError, UsageError
from pipeline.trading.instruments import Instruments

HEAD = "time,open,high,low,close,volume\n"
INSTRUMENTS = Instruments(Trading())
CENTS = Instruments(Trading(instruments={"default": Instrument(price_scale=2, tick="0.05")}))


def row(minute: int, prices: str = "10,11,9,10.5", volume: str = "3") -> str:
    return f"2024-01-01T00:{minute:02d}:00Z,{prices},{volume}\n"


def write(folder: Path, text: str, name: str = "BTCUSDT-1m.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_csv_becomes_exact_integers_named_after_its_file(tmp_path: Path) -> None:
    series, findings = read_candles(write(tmp_path, HEAD + row(1) + row(2)), INSTRUMENTS)
    assert list(series) == ["BTCUSDT"]
    first = next(series["BTCUSDT"].candles())
    assert (first.open, first.high, first.low, first.close, first.volume) == (
        100_000, 110_000, 90_000, 105_000, 30_000,
    )  # fmt: skip
    assert first.time_us == int(datetime(2024, 1, 1, 0, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert (findings.candles, findings.gaps, findings.duplicates, findings.notes) == (2, 0, 0, ())


def test_a_compressed_csv_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "x.csv.gz"
    file.write_bytes(gzip.compress((HEAD + row(1)).encode()))
    assert read_candles(file, INSTRUMENTS)[1].candles == 1


@pytest.mark.parametrize(
    ("heading", "line"),
    [
        ("Date,Open,High,Low,Close,Adj Close,Volume", "2024-01-01,10,11,9,10.5,9.9,3"),
        ("timestamp;o;h;l;c;v", "1704067200;10;11;9;10.5;3"),
        ("timestamp\to\th\tl\tc\tv", "1704067200000\t10\t11\t9\t10.5\t3"),
        ("ts,open,high,low,close", "1704067200000000000,10,11,9,10.5"),
        ("unix,open,high,low,close,Vol", "1704067200000000,10,11,9,1.05e1,3"),
        ("<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", "2024.01.01,00:00:00,10,11,9,10.5,3"),
        ("Gmt time,Open,High,Low,Close,Volume", "01.01.2024 00:00:00.000,10,11,9,10.5,3"),
        ("date,open,high,low,close", "20240101,10,11,9,10.5"),
        ("date,open,high,low,close", "2024-01-01 00:00:00 UTC,10,11,9,10.5"),
        ("date,open,high,low,close", "20240101,10,11,9,10.5,,"),
        ("\ufeffDatetime,Open,High,Low,Close", "2023-12-31T19:00:00-05:00,10,11,9,10.5"),
        ("Unix Timestamp,Open,High,Low,Close,Volume", "1704067200,10,11,9,10.5,3"),
        ("Timestamp (UTC),Open (USD),High (USD),Low (USD),Close (USD)", "2024-01-01 00:00,10,11,9,10.5"),
        ("open_time,opening price,highest,lowest,closing price", "1704067200000,10,11,9,10.5"),
    ],
)
def test_common_headings_and_time_formats_mean_the_same(tmp_path: Path, heading: str, line: str) -> None:
    series, _ = read_candles(write(tmp_path, f"{heading}\n{line}\n"), INSTRUMENTS, "X")
    candle = next(series["X"].candles())
    assert candle.time_us == 1_704_067_200_000_000
    assert (candle.open, candle.close) == (100_000, 105_000)


def test_a_symbol_column_makes_a_series_of_each(tmp_path: Path) -> None:
    text = "ticker," + HEAD + "B," + row(1) + "A," + row(1) + "B," + row(2)
    series, findings = read_candles(write(tmp_path, text), INSTRUMENTS)
    assert findings.symbols == {"A": 1, "B": 2}
    assert list(series) == ["A", "B"]


def test_gaps_duplicates_and_missing_offsets_are_told(tmp_path: Path) -> None:
    lines = [row(minute) for minute in (1, 2, 3, 3, 9)]
    text = (HEAD + "".join(lines)).replace("Z,", ",")
    _, findings = read_candles(write(tmp_path, text), INSTRUMENTS)
    assert (findings.candles, findings.duplicates, findings.gaps) == (4, 1, 1)
    assert findings.longest == ("BTCUSDT 2024-01-01 00:03 → 2024-01-01 00:09 (5 candles)",)
    assert findings.notes == ("times have no offset from UTC and were taken for UTC",)


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("Volume BTC,Volume USD", 0),
        ("Volume USDT,Volume BTC", 1),
        ("Volume_(BTC),Volume_(Currency)", 0),
        ("volume_usd,Trades", 0),
        ("vol_eth,x", 0),
        ("Volume USD,Volume", 1),
    ],
)
def test_a_volume_that_names_its_unit_is_the_volume(tmp_path: Path, heading: str, column: int) -> None:
    text = HEAD.replace("volume", heading) + row(1, volume="3,7")
    series, findings = read_candles(write(tmp_path, text), INSTRUMENTS)
    assert series["BTCUSDT"].volume.tolist() == [[30_000, 70_000][column]]
    assert findings.notes == ()


def test_other_offsets_in_one_column_are_each_used_and_told(tmp_path: Path) -> None:
    text = (
        HEAD
        + row(1)
        + "2024-01-01T02:02:00+02:00,10,11,9,10.5,3\n"
        + "2023-12-31T19:03:00-05:00,10,11,9,10,3\n"
    )
    series, findings = read_candles(write(tmp_path, text), INSTRUMENTS)
    assert (series["BTCUSDT"].time_us - series["BTCUSDT"].time_us[0]).tolist() == [0, 60_000_000, 120_000_000]
    assert findings.notes == ("times have 3 offsets from UTC (+00:00, +02:00, -05:00); each was used",)


def test_newest_first_is_turned_round(tmp_path: Path) -> None:
    series, findings = read_candles(write(tmp_path, HEAD + row(3) + row(2) + row(1)), INSTRUMENTS)
    assert series["BTCUSDT"].time_us.tolist() == sorted(series["BTCUSDT"].time_us.tolist())
    assert findings.notes == ("BTCUSDT: newest first; turned round",)


def test_rounding_takes_the_nearest_tick(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + row(1, "10.014,10.126,9.99,10.05001"))
    candle = next(read_candles(file, CENTS, rounded=True)[0]["BTCUSDT"].candles())
    assert (candle.open, candle.high, candle.low, candle.close) == (1000, 1015, 1000, 1005)


BAD = [
    ("", "is empty"),
    (HEAD, "has a heading and no candles"),
    ("time,open,high,close\n" + "1,1,1,1\n", "column low: missing; the file has time, open, high, close"),
    (HEAD + row(1) + "2024-01-01T00:02:00Z,1,1\n", "line 3: 3 columns; the heading has 6"),
    (HEAD + row(1, "1,010,11,9,10"), "line 2: 7 columns; the heading has 6"),
    (HEAD.replace("volume", "close") + row(1), "column close: is there 2 times"),
    (HEAD + row(1, "10,1e999999999,9,10"), "line 2: high: '1e999999999' is not a decimal number"),
    (HEAD + row(1, "10,1e99999,9,10"), "line 2: high: '1e99999' is beyond the limit of 100000000000 for 4"),
    ("symbol," + HEAD + "," + row(1), "line 2: symbol: '' is none: 1 to"),
    ("symbol," + HEAD + "a b," + row(1), "line 2: symbol: 'a b' is none: 1 to"),
    ("symbol," + HEAD + "A" * 99 + "," + row(1), f"line 2: symbol: '{'A' * 48}' is none: 1 to"),
    (HEAD + row(1, "10,11,9,0"), "line 2: close: '0' must be positive"),
    (HEAD + row(1, "-1,11,9,10"), "line 2: open: '-1' must be positive"),
    (HEAD + row(1, "10,11,9,NaN"), "line 2: close: 'NaN' is not a decimal number"),
    (HEAD + row(1, "10,x,9,10"), "line 2: high: 'x' is not a decimal number"),
    (HEAD + row(1, "10,11,9,10.00001"), "line 2: close: '10.00001' has more than 4 decimals (--round"),
    (HEAD + row(1, "12,11,9,10"), "line 2: open, high, low, close: 12, 11, 9, 10: open and close must be"),
    (HEAD + row(1, "10,11,9,10", "-3"), "line 2: volume: '-3' is negative"),
    (HEAD + row(1, "10,11,9,10", "999999999999"), "line 2: volume: '999999999999' is beyond the limit"),
    (HEAD + row(1, "10,999999999999,9,10"), "line 2: high: '999999999999' is beyond the limit"),
    (HEAD + "yesterday,10,11,9,10,1\n", "line 2: time: 'yesterday' is no time such as"),
    (HEAD + "1969-01-01,10,11,9,10,1\n", "line 2: time: '1969-01-01' is not between"),
    (HEAD + row(1) + "2024-01-01T00:02:00,10,11,9,10,1\n", "line 3: time: some times have an offset"),
    (HEAD + row(1) + "1704067320,10,11,9,10,1\n", "line 3: time: some times are numbers since 1970 and some"),
    (
        HEAD + "1704067260000,10,11,9,10,1\n" + row(2),
        "line 3: time: some times are numbers since 1970 and some",
    ),
    (
        HEAD + "".join(map(row, range(1, 6))) + '"' + row(6) + "".join(map(row, range(7, 59))),
        "line 7: a quote is",
    ),
    (HEAD + row(1) + '"2024-01-01T00:02:00Z"x,10,11,9,10,1\n', "line 3: ',' expected after"),
    (HEAD + row(1) + row(3) + row(2) + row(4), "line 4: time: 2024-01-01 00:02 of BTCUSDT is before line 3"),
    (HEAD + row(1) + row(1, "10,11,9,9"), "line 3: time: BTCUSDT has another candle at 2024-01-01 00:01 on"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_every_malformed_row_is_named_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_candles(file, INSTRUMENTS)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_a_price_off_the_tick_says_how_to_round_it(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"line 2: open: '10.01' is not a multiple of the tick 0.05 \(--round"
    ):
        read_candles(write(tmp_path, HEAD + row(1, "10.01,11,9,10")), CENTS)


def test_a_missing_file_and_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="No such file"):
        read_candles(tmp_path / "none.csv", INSTRUMENTS)
    (tmp_path / "b.csv").write_bytes(b"time,\xff\xfe\n")
    with pytest.raises(UsageError, match=r"b.csv: line 1: is no text in UTF-8"):
        read_candles(tmp_path / "b.csv", INSTRUMENTS)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingError, match=r"needs pyarrow, which is not installed: pip install"):
        read_candles(tmp_path / "x.parquet", INSTRUMENTS)


def test_parquet_gives_the_same_candles_as_csv(tmp_path: Path) -> None:
    times = [datetime(2024, 1, 1, 0, minute, tzinfo=UTC) for minute in (1, 2)]
    table = pyarrow.table(
        {"time": times, "open": [10.0, 10.1], "high": [11.0, 11.0], "low": [9.0, 9.0], "close": [10.5, 10.3]}
    )
    file = tmp_path / "BTCUSDT.parquet"
    parquet.write_table(table, file)
    lines = [row(1, "10,11,9,10.5", "0"), row(2, "10.1,11,9,10.3", "0")]
    expected, _ = read_candles(write(tmp_path, HEAD + "".join(lines)), INSTRUMENTS)
    found, findings = read_candles(file, INSTRUMENTS)
    assert list(found["BTCUSDT"].candles()) == list(expected["BTCUSDT"].candles())
    assert findings.notes == ("there is no volume column; every volume is 0",)
    (tmp_path / "no.parquet").write_bytes(b"PAR?")
    with pytest.raises(RinglineError, match="is no Parquet file"):
        read_candles(tmp_path / "no.parquet", INSTRUMENTS)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_the_line_that_is_no_utf_8_is_named_however_lines_end(tmp_path: Path, end: str, suffix: str) -> None:
    lines = [HEAD.strip(), *(row(minute).strip() for minute in range(1, 50)), "x"]
    data = end.join(lines).encode() + b"\xe9," + end.encode() * 3
    file = tmp_path / f"b{suffix}"
    file.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    with pytest.raises(UsageError, match=r"line 51: is no text in UTF-8"):
        read_candles(file, INSTRUMENTS)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda data: data[:-500], r"after line [0-9]+: the compressed file is cut off"),
        (lambda data: data[:12], "the compressed file is cut off"),
        (lambda data: data[:12] + b"\xff" * 50 + data[62:], "the compressed file is damaged"),
        (lambda data: data[:-8] + b"\0" * 8, r"after line [0-9]+: the compressed file is damaged: CRC"),
        (lambda _: b"no gzip at all", "the compressed file is damaged: Not a gzipped file"),
    ],
)
def test_a_compressed_file_that_is_damaged_is_told(
    tmp_path: Path, spoil: Callable[[bytes], bytes], problem: str
) -> None:
    file = tmp_path / "x.csv.gz"
    rows = [row(minute, volume=str(minute * 7919 % 1009)) for minute in range(60)]
    times = [f"2024-01-{day:02d}T00" for day in range(1, 29)]
    text = HEAD + "".join(one.replace("2024-01-01T00", time) for time in times for one in rows)
    file.write_bytes(spoil(gzip.compress(text.encode())))
    with pytest.raises(UsageError, match=problem):
        read_candles(file, INSTRUMENTS)


def test_parquet_that_is_damaged_within_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    times = [datetime(2024, 1, 1, 0, minute, tzinfo=UTC) for minute in range(50)]
    parquet.write_table(
        pyarrow.table({"time": times} | dict.fromkeys(("o", "h", "l", "c"), [1.0] * 50)), file
    )
    data = file.read_bytes()
    file.write_bytes(data[:60] + bytes(byte ^ 255 for byte in data[60:63]) + data[63:])
    with pytest.raises(UsageError, match="after row 0: the file is damaged"):
        read_candles(file, INSTRUMENTS)


@pytest.mark.parametrize("kind", [pyarrow.float32(), pyarrow.float16()])
def test_short_floats_are_what_was_meant(tmp_path: Path, kind: pyarrow.DataType) -> None:
    file = tmp_path / "x.parquet"
    prices = pyarrow.array(numpy.array([1.1, 1.25], numpy.float16 if kind.bit_width == 16 else "f4"))
    times = [datetime(2024, 1, 1, 0, minute, tzinfo=UTC) for minute in (1, 2)]
    parquet.write_table(pyarrow.table({"time": times} | dict.fromkeys("ohlc", prices.cast(kind))), file)
    closes = [candle.close for candle in read_candles(file, INSTRUMENTS)[0]["x"].candles()]
    assert closes == [11_000, 12_500]


NASDAQ = """Date,Close/Last,Volume,Open,High,Low
{},$184.40,55467800,$187.04,$187.095,$184.35
{},"$1,188.04",55859370,$190.94,"$1,191.80",$187.47
"""


@pytest.mark.parametrize("days", [("01/31/2024", "01/30/2024"), ("02/03/2024", "02/02/2024")])
def test_nasdaq_s_own_export_is_read(tmp_path: Path, days: tuple[str, str]) -> None:
    series, findings = read_candles(write(tmp_path, NASDAQ.format(*days), "AAPL-nasdaq.csv"), INSTRUMENTS)
    first, second = series["AAPL"].candles()
    month, day = (int(part) for part in days[1].split("/")[:2])
    assert first.time_us == int(datetime(2024, month, day, tzinfo=UTC).timestamp()) * 1_000_000
    assert (first.close, first.high, second.close) == (11_880_400, 11_918_000, 1_844_000)
    assert second.time_us - first.time_us == 86_400_000_000
    why = "line 2 has 01/31/2024" if day > 12 else "its headings are Nasdaq's"
    assert f"dates are month first: {why}" in findings.notes


def dated(*days: str) -> str:
    return HEAD + "".join(f"{day},10,11,9,10.5,3\n" for day in days)


@pytest.mark.parametrize(
    ("days", "order", "expected"),
    [
        (("02/01/2024", "03/01/2024", "13/01/2024"), None, (1, 2)),
        (("01/02/2024", "01/03/2024", "01/13/2024"), None, (1, 2)),
        (("1/2/2024", "1/13/2024"), None, (1, 2)),
        (("02/01/2024", "03/01/2024"), "dmy", (1, 2)),
        (("02/01/2024", "03/01/2024"), "mdy", (2, 1)),
        (("01/02/2024 04:00 PM", "01/13/2024 09:30:00 AM"), None, (1, 2)),
        (("02/01/2024 16:00", "13/01/2024 16:00"), None, (1, 2)),
        (("    02/01/2024", "  13/01/2024"), None, (1, 2)),
    ],
)
def test_one_column_has_one_order_of_dates(
    tmp_path: Path, days: tuple[str, ...], order: DateOrder | None, expected: tuple[int, int]
) -> None:
    series, findings = read_candles(write(tmp_path, dated(*days)), INSTRUMENTS, date_order=order)
    first = datetime.fromtimestamp(next(series["BTCUSDT"].candles()).time_us / 1e6, UTC)
    assert (first.month, first.day) == expected
    assert first.hour == (16 if ":" in days[0] else 0)
    assert any(note.startswith("dates are ") for note in findings.notes)


def test_the_same_order_is_found_in_parquet(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    days = ["02/01/2024", "13/01/2024"]
    parquet.write_table(pyarrow.table({"time": days} | {key: [1.0, 1.0] for key in "ohlc"}), file)
    first = next(read_candles(file, INSTRUMENTS)[0]["x"].candles())
    assert first.time_us == int(datetime(2024, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("days", "order", "problem"),
    [
        (
            ("01/02/2024", "01/03/2024"),
            None,
            "time: '01/02/2024' may be month or day first, and no line of the file tells; say --date-order",
        ),
        (
            ("01/13/2024", "14/01/2024"),
            None,
            "line 3: time: '14/01/2024' is day first, '01/13/2024' on line 2 month first",
        ),
        (("01/02/2024", "13/01/2024"), "mdy", "line 3: time: '13/01/2024': 13 is no month; dates are month"),
        (("13/13/2024", "01/13/2024"), None, "line 2: time: '13/13/2024': 13 is no month; dates are month"),
        (("02/30/2024",), None, "line 2: time: '2024-02-30' is no time such as"),
        (("01/31/24",), None, "line 2: time: '01/31/24' is no time such as"),
    ],
)
def test_dates_of_which_nobody_can_tell_are_refused(
    tmp_path: Path, days: tuple[str, ...], order: DateOrder | None, problem: str
) -> None:
    file = write(tmp_path, dated(*days))
    with pytest.raises(UsageError) as caught:
        read_candles(file, INSTRUMENTS, date_order=order)
    assert str(caught.value).startswith(f"{file}: {problem}")


@pytest.mark.parametrize("price", ["$1,00", "$", "$$1", "1,000.5", "$-1"])
def test_a_dollar_sign_makes_no_price_of_what_is_none(tmp_path: Path, price: str) -> None:
    text = HEAD + f'2024-01-01,"{price}","{price}","{price}","{price}",1\n'
    with pytest.raises(UsageError, match=r"line 2: (open|close)"):
        read_candles(write(tmp_path, text), INSTRUMENTS)
