"""Verification against the specification, the reference package and everything a stranger may send."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits, signing
from pipeline.signing import (
    Secret,
    SharedKey,
    SignatureError,
    parse_secret,
    secret_text,
    sign,
    signed_headers,
    verify,
)

NOW_S = 1_700_000_000
KEY = bytes(range(32))
SECRET = Secret(KEY, "first")
OTHER = Secret(KEY[::-1], "second")
BODY = b'{"type":"control","action":"halt"}'


def test_signatures_and_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(signing, "compare_digest", compare)
    with pytest.raises(SignatureError):
        check(signature=b"v1,wrong")
    right = sign(SECRET, "msg_1", NOW_S, BODY).encode()
    assert compared == [(right, b"v1,wrong")]
    token = SharedKey(b"0123456789abcdef", "token")
    assert not token.is_token(b"0123456789abcdeX")
    assert compared[1:] == [(b"0123456789abcdef", b"0123456789abcdeX")]


def check(
    body: bytes = BODY,
    *,
    webhook_id: bytes = b"msg_1",
    timestamp: bytes = str(NOW_S).encode(),
    signature: bytes | None = None,
    secrets: tuple[Secret, ...] = (SECRET,),
) -> Secret:
    if signature is None:
        signature = SECRET.signature(webhook_id + b"." + timestamp + b".", body)
    return verify(secrets, webhook_id, timestamp, signature, body, now_s=NOW_S, tolerance_s=300)


def test_a_signature_is_the_hmac_of_id_timestamp_and_body() -> None:
    mac = hmac.new(KEY, b"msg_1.%d." % NOW_S + BODY, hashlib.sha256).digest()
    assert sign(SECRET, "msg_1", NOW_S, BODY) == "v1," + base64.b64encode(mac).decode()


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=300))
def test_prekeyed_hmac_equals_hmac_for_every_key_and_body(key: bytes, body: bytes) -> None:
    mac = hmac.digest(key, b"a.1." + body, "sha256")
    assert Secret(key, "any").signature(b"a.1.", body) == b"v1," + base64.b64encode(mac)


def test_the_reference_package_verifies_what_we_sign() -> None:
    now_s = int(datetime.datetime.now(tz=datetime.UTC).timestamp())
    headers = signed_headers(SECRET, "msg_1", now_s, BODY)
    assert standardwebhooks.Webhook(secret_text(KEY)).verify(BODY, headers) == json.loads(BODY)


def test_we_verify_what_the_reference_package_signs() -> None:
    moment = datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC)
    signature = standardwebhooks.Webhook(secret_text(KEY)).sign("msg_1", moment, BODY.decode())
    assert check(signature=signature.encode()) is SECRET


def test_the_secret_that_matched_is_returned() -> None:
    assert check(secrets=(OTHER, SECRET)) is SECRET
    assert check(secrets=(SECRET, OTHER)) is SECRET


def test_one_good_signature_in_a_list_is_enough() -> None:
    good = SECRET.signature(b"msg_1.%d." % NOW_S, BODY)
    assert check(signature=b"v1a,AAAA " + good + b" garbage") is SECRET


def test_more_signatures_than_the_limit_are_refused_before_any_work() -> None:
    good = SECRET.signature(b"msg_1.%d." % NOW_S, BODY)
    with pytest.raises(SignatureError, match="more than 8 signatures"):
        check(signature=b" ".join([good] * (limits.MAX_SIGNATURES + 1)))


def refused(header: str, **request: bytes) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        check(**request)  # type: ignore[arg-type]
    assert caught.value.header == header
    return caught.value


# Four requests that the receiver of the `standardwebhooks` package answers with a crash or wrongly.


def test_the_signature_garbage_is_refused() -> None:
    refused("webhook-signature", signature=b"garbage")


def test_a_signed_body_that_is_not_utf8_verifies_as_bytes() -> None:
    assert check(b"\xff\xfe\x00") is SECRET


def test_a_signed_body_that_is_not_json_verifies_as_bytes() -> None:
    assert check(b"not json") is SECRET


def test_a_fractional_timestamp_is_refused() -> None:
    refused("webhook-timestamp", timestamp=b"%d.7" % NOW_S)
    assert "digits only" in str(refused("webhook-timestamp", timestamp=b"123.7"))


@pytest.mark.parametrize("header", ["webhook_id", "timestamp", "signature"])
def test_a_missing_header_is_named(header: str) -> None:
    error = refused("webhook-" + header.removeprefix("webhook_"), **{header: b""})
    assert error.detail == "missing"


@pytest.mark.parametrize(
    "timestamp",
    [b"-5", b"+1700000000", b" 1700000000", b"1e9", b"0x10", "\u0661".encode(), b"1" * 13],
)
def test_a_timestamp_is_nothing_but_digits(timestamp: bytes) -> None:
    refused("webhook-timestamp", timestamp=timestamp)


@pytest.mark.parametrize(
    "webhook_id", [b"a.b", b"a b", b"a\x00", b"a\x7f", b"a\r\nb", "é".encode(), b"x" * 256, b"\t"]
)
def test_an_id_outside_the_allowed_characters_is_refused(webhook_id: bytes) -> None:
    refused("webhook-id", webhook_id=webhook_id)


def test_an_id_of_the_greatest_length_is_accepted() -> None:
    assert check(webhook_id=b"x" * limits.MAX_WEBHOOK_ID_CHARS) is SECRET


def test_the_tolerance_holds_both_ways_and_to_the_second() -> None:
    assert check(timestamp=b"%d" % (NOW_S - 300)) is SECRET
    assert check(timestamp=b"%d" % (NOW_S + 300)) is SECRET
    assert "301 s old; the limit is 300 s" in str(
        refused("webhook-timestamp", timestamp=b"%d" % (NOW_S - 301))
    )
    assert "301 s in the future" in str(refused("webhook-timestamp", timestamp=b"%d" % (NOW_S + 301)))


@given(st.integers(min_value=0, max_value=len(BODY) * 8 - 1))
def test_no_bit_of_the_body_can_be_changed(bit: int) -> None:
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    signature = SECRET.signature(b"msg_1.%d." % NOW_S, BODY)
    with pytest.raises(SignatureError):
        check(bytes(changed), signature=signature)


def test_a_signature_has_one_spelling() -> None:
    good = SECRET.signature(b"msg_1.%d." % NOW_S, BODY)
    refused("webhook-signature", signature=good.rstrip(b"="))
    refused("webhook-signature", signature=good.replace(b"v1,", b"V1,"))


@given(st.binary(max_size=300), st.binary(max_size=20), st.binary(max_size=200), st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_never_crash(
    webhook_id: bytes, timestamp: bytes, signature: bytes, body: bytes
) -> None:
    with pytest.raises(SignatureError):
        verify((SECRET,), webhook_id, timestamp, signature, body, now_s=NOW_S, tolerance_s=300)


def test_a_sender_learns_of_an_unusable_id() -> None:
    with pytest.raises(SignatureError, match="other than the dot"):
        sign(SECRET, "run.1", NOW_S, BODY)


def test_a_secret_is_read_with_and_without_padding() -> None:
    text = secret_text(KEY)
    for spelling in (text, text.rstrip("="), f"  {text}\n"):
        assert sign(parse_secret(spelling), "msg_1", NOW_S, BODY) == sign(SECRET, "msg_1", NOW_S, BODY)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "does not start with whsec_"),
        ("c2VjcmV0", "does not start with whsec_"),
        ("whsec_!!!", "not base64"),
        ("whsec_é", "not base64"),
        ("whsec_A", "not base64"),
        (secret_text(bytes(23)), "23 bytes; allowed: 24 to 64 bytes"),
        (secret_text(bytes(65)), "65 bytes; allowed: 24 to 64 bytes"),
    ],
)
def test_a_wrong_secret_is_explained_without_being_shown(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_secret(text)
    assert len(text) < 7 or text[6:] not in str(caught.value)


def test_a_secret_never_shows_its_bytes() -> None:
    assert repr(SECRET) == "Secret('first')"
    assert not hasattr(SECRET, "__dict__")
