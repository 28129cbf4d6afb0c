"""Credentials that a camera wants within its address: a name stands there for them until then.

Many cameras take user and password as part of path or query, such as `/video?user=…&pwd=…`. What is
stored, shown and logged holds `{username}` and `{password}`; only who connects fills them in.
"""

import re
from urllib.parse import quote, unquote_plus, urlsplit

USERNAME, PASSWORD = "{username}", "{password}"
PASSWORDS = frozenset(
    {
        "loginpas", "pass", "passphrase", "passwd", "password", "psw", "pw", "pwd", "user_pwd",
        "userpwd",
    }
)  # fmt: skip
"""Names that cameras give a password in the query of an address."""
TOKENS = frozenset(
    {
        "access_key", "access_token", "accesskey", "accesstoken", "api_key", "apikey", "api_token",
        "apitoken", "auth", "auth_key", "auth_token", "authkey", "authtoken", "bearer",
        "client_secret", "jwt", "key", "secret", "secret_key", "secretkey", "token",
    }
)  # fmt: skip
"""Names of what opens a camera there instead of a password: as secret, and no password either."""
_PLACE = re.compile(re.escape(USERNAME) + "|" + re.escape(PASSWORD))
_HOST = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
_SEPARATORS = re.compile("([&;])")


def names_password(url: str) -> bool:
    """Whether a password is to be filled into an address."""
    return PASSWORD in url


def names_host(url: str) -> bool:
    """Whether credentials are to be filled in where an address says who is asked.

    Raises:
        ValueError: It is malformed.
    """
    return _PLACE.search(urlsplit(url).netloc) is not None


def filled(url: str, username: str | None, password: str | None) -> str:
    """The address with the credentials in it, quoted; never to be shown.

    User information, host and port stay as they are.
    """
    values = {USERNAME: quote(username or "", safe=""), PASSWORD: quote(password or "", safe="")}
    host = _HOST.match(url)
    start = host.end() if host else 0
    return url[:start] + _PLACE.sub(lambda place: values[place[0]], url[start:])


def without_passwords(query: str) -> tuple[str, frozenset[str]]:
    """The query of an address with `{password}` where passwords and tokens were, and these."""
    parts, found = _SEPARATORS.split(query), set[str]()
    for index, part in enumerate(parts):
        name, _, value = part.partition("=")
        if value and (_plain(name) in PASSWORDS or _is_token(name, value)):
            found.add(unquote_plus(value))
            parts[index] = f"{name}={PASSWORD}"
    return "".join(parts), frozenset(found - {PASSWORD})


def holds_token(query: str) -> bool:
    """Whether a token of its own stands in a query, instead of a password or the place for one."""
    pairs = (part.partition("=") for part in _SEPARATORS.split(query))
    return any(_is_token(name, value) for name, _, value in pairs)


def _is_token(name: str, value: str) -> bool:
    """Whether it is one, and not made of what is filled in (`auth={username}:{password}`)."""
    return bool(value) and _plain(name) in TOKENS and not _PLACE.search(unquote_plus(value))


def _plain(name: str) -> str:
    return unquote_plus(name).lower().replace("-", "_")
