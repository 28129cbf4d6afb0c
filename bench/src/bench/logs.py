"""Log lines of the product's parts while they are measured."""

import sys

import structlog


def only_warnings() -> None:
    """Write warnings and worse to stderr, and nothing else: stdout belongs to the report."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
