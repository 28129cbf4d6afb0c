"""No credentials in anything that people or machines read."""

import re
from urllib.parse import quote

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#'\"]*@")


def redact(text: str, *secrets: str | None) -> str:
    """The text without the user information of any URL in it and without these secrets."""
    for secret in secrets:
        for form in {secret, quote(secret, safe="")} if secret else ():
            text = text.replace(form, "***")
    return _USERINFO.sub(r"\g<scheme>***@", text)
