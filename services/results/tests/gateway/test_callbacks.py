"""Where callbacks may go, and how they are signed."""

import hashlib
import hmac
from datetime import timedelta

import pytest

from mesh.errors import TransientError
from results.adapters.callback_targets import CallbackTargets
from results.domain.callbacks import (
    CallbackPolicy,
    ForbiddenTargetError,
    parse_url,
    retry_after,
    sign,
)
from results.domain.errors import ApiError

PUBLIC = "93.184.216.34"
FORBIDDEN = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::a9fe:a9fe",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(ForbiddenTargetError, match="not public"):
        CallbackPolicy().check_addresses("host", [PUBLIC, address])


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_allowed(address: str) -> None:
    CallbackPolicy().check_addresses("host", [address])


def test_an_operator_may_allow_names_addresses_and_networks() -> None:
    policy = CallbackPolicy.parse("hooks.internal, 10.0.0.0/8,127.0.0.1 ,fd00::/8")
    policy.check_addresses("Hooks.Internal", ["192.168.0.1"])
    policy.check_addresses("host", ["10.9.9.9", "127.0.0.1", "fd00::1", "::ffff:10.0.0.1"])
    with pytest.raises(ForbiddenTargetError):
        policy.check_addresses("host", ["127.0.0.2"])
    with pytest.raises(ValueError, match="host bits"):
        CallbackPolicy.parse("10.0.0.1/8")
    assert CallbackPolicy.parse("") == CallbackPolicy()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://app.example.com/",
        "file:///etc/passwd",
        "//app.example.com/",
        "http:///path",
        "http://a:b@app.example.com/",
        "http://app.example.com:99999/",
        "http://[::1/",
        "http://app.example.com/a b",
        "http://app.example.com/\r\nX-Evil: 1",
        "http://ünicode.example.com/",
    ],
)
def test_what_is_no_plain_url_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_url(url)
    assert (refused.value.status, refused.value.code) == (422, "INVALID_FORMAT")
    assert refused.value.field == "client_context.callback_url"


def test_a_url_is_taken_apart() -> None:
    target = parse_url("https://app.example.com/x?y=1")
    assert (target.scheme, target.host, target.port) == ("https", "app.example.com", 443)
    assert parse_url("http://app.example.com:8080").port == 8080


def test_the_address_is_looked_up_once_and_is_the_one_to_connect_to() -> None:
    asked: list[str] = []

    def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    targets = CallbackTargets(CallbackPolicy(), resolve=rebinding)
    assert targets.locate("http://app.example.com/")[1] == PUBLIC
    with pytest.raises(ForbiddenTargetError):
        targets.locate("http://app.example.com/")


def test_nothing_is_accepted_without_a_secret_or_an_address() -> None:
    with pytest.raises(ApiError) as refused:
        CallbackTargets(CallbackPolicy(), enabled=False).accept("http://app.example.com/")
    assert refused.value.code == "CALLBACKS_DISABLED"
    with pytest.raises(TransientError, match="no address"):
        CallbackTargets(CallbackPolicy(), resolve=lambda *_: []).locate("http://app.example.com/")


def test_a_receiver_can_check_the_signature_by_the_documented_rule() -> None:
    body, secret = b'{"job_id":"job_1"}', b"a secret"
    expected = hmac.new(secret, b"1700000000." + body, hashlib.sha256).hexdigest()
    assert sign(secret, 1_700_000_000, body) == f"sha256={expected}"


def test_it_is_tried_again_after_one_two_and_four_seconds_and_then_no_more() -> None:
    delays = [retry_after(failures) for failures in (1, 2, 3, 4)]
    assert delays == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4), None]
