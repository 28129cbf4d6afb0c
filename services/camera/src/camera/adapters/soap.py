"""Messages of web services (SOAP 1.2) from devices that nobody vouches for.

Elements are told apart by their local names: devices differ in prefixes, and some in the versions
of the namespaces.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

MOST_BYTES = 1 << 20
_MOST_ELEMENTS = 20_000
Node: TypeAlias = Element

ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"{namespaces}>'
    "<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
)


class SoapError(Exception):
    """An answer is no message of a web service."""


def parse(data: bytes) -> Node:
    """The root of a message.

    Raises:
        SoapError: It is too large, malformed, or declares what a message has no need to.
    """
    if len(data) > MOST_BYTES:
        raise SoapError(f"the answer is longer than {MOST_BYTES} bytes")
    try:
        root: Node = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise SoapError(f"the answer is no XML that may be read: {type(error).__name__}") from error
    if sum(1 for _ in root.iter()) > _MOST_ELEMENTS:
        raise SoapError(f"the answer has more than {_MOST_ELEMENTS} elements")
    return root


def local(node: Node) -> str:
    """The name of an element without its namespace."""
    return str(node.tag).rpartition("}")[2]


def every(node: Node, name: str) -> Iterator[Node]:
    """Elements of this local name, wherever they are below."""
    return (one for one in node.iter() if local(one) == name)


def first(node: Node | None, *names: str) -> Node | None:
    """The first element below that has one of these local names."""
    if node is None:
        return None
    return next((one for one in node.iter() if local(one) in names and one is not node), None)


def text(node: Node | None, *path: str) -> str | None:
    """The text at the end of a path of local names; nothing if there is none."""
    for name in path:
        node = first(node, name)
    told = (node.text or "").strip() if node is not None else ""
    return told or None


def whole(node: Node | None, *path: str) -> int | None:
    """A whole number at the end of a path; nothing if there is none."""
    told = text(node, *path)
    try:
        return int(float(told)) if told else None
    except (ValueError, OverflowError):
        return None


def fault(root: Node) -> Sequence[str] | None:
    """The codes and the reason of a fault; nothing if the message is none."""
    told = first(root, "Fault")
    if told is None:
        return None
    named = ("Value", "Text", "faultcode", "faultstring")
    return [one.text.strip() for one in told.iter() if local(one) in named and one.text]
