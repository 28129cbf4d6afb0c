"""Credentials within addresses: what stands for them, and what is filled in."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.credentials import (
    PASSWORD,
    PASSWORDS,
    TOKENS,
    filled,
    holds_token,
    names_host,
    names_password,
    without_passwords,
)

URL = "http://camera:81/{username}/video?user={username}&pwd={password}"
SECRETS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def test_name_and_password_are_filled_in_quoted() -> None:
    made = filled(URL, "ad min", "p@ss/w&rd?#")
    assert made == "http://camera:81/ad%20min/video?user=ad%20min&pwd=p%40ss%2Fw%26rd%3F%23"
    assert filled(URL, "{password}", "x").count("x") == 1, "a name is no place for a password"
    assert filled("http://camera/video", "a", "b") == "http://camera/video"
    assert filled("http://camera", "a", "b") == "http://camera"
    assert filled("http://camera?p={password}", "a", "b") == "http://camera?p=b"


@given(SECRETS, SECRETS)
def test_no_credentials_change_who_is_asked(username: str, password: str) -> None:
    made = urlsplit(filled(URL, username, password))
    assert made.netloc == "camera:81"
    assert dict(parse_qsl(made.query))["pwd"] == password
    assert not made.fragment


@pytest.mark.parametrize(
    "url", ["http://{password}.example/", "http://{password}@a/", "//a:{username}/"]
)
def test_a_host_is_never_filled_in(url: str) -> None:
    assert names_host(url)
    assert "hunter2" not in filled(url, "hunter2", "hunter2")
    assert not names_host(URL)


@pytest.mark.parametrize(
    ("query", "clean", "passwords"),
    [
        ("", "", set()),
        ("a=1;b", "a=1;b", set()),
        ("user=ad%20min&pwd=hun%26ter2&x", "user=ad%20min&pwd={password}&x", {"hun&ter2"}),
        ("PassWord=a+b;pwd=c", "PassWord={password};pwd={password}", {"a b", "c"}),
        ("pwd=&pwd={password}", "pwd=&pwd={password}", set()),
        ("pwd=%7Bpassword%7D", "pwd={password}", set()),
        ("auth={username}:{password}", "auth={username}:{password}", set()),
        ("key={password}&token=", "key={password}&token=", set()),
    ],
)
def test_passwords_are_taken_out_of_a_query(query: str, clean: str, passwords: set[str]) -> None:
    assert without_passwords(query) == (clean, frozenset(passwords))


@pytest.mark.parametrize("name", sorted(PASSWORDS | TOKENS | {"Api-Key", "accessToken", "TOKEN"}))
def test_a_secret_leaves_the_query_whatever_it_is_called(name: str) -> None:
    clean, found = without_passwords(f"channel=1&{name}=hunter2&token_type=x&keyframe=1")
    assert clean == f"channel=1&{name}={PASSWORD}&token_type=x&keyframe=1"
    assert found == {"hunter2"}
    assert holds_token(f"channel=1&{name}=hunter2") is (name not in PASSWORDS)
    assert not holds_token(clean)


@given(SECRETS)
def test_what_is_taken_out_comes_back_when_it_is_filled_in(password: str) -> None:
    (clean, found) = without_passwords(f"a=1&pwd={quote(password, safe='')}")
    if password == PASSWORD:
        return
    assert found == {password}
    url = filled(f"http://camera/?{clean}", None, password)
    assert dict(parse_qsl(urlsplit(url).query))["pwd"] == password
    assert names_password(clean)
