"""`mesh`: deploy steps and operator commands."""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from mesh.auth import ROLES, Tokens
from mesh.cli_letters import add_letters
from mesh.cli_models import add_models
from mesh.clock import SystemClock
from mesh.crypto import Cipher
from mesh.errors import MeshError
from mesh.evolution import check_against_tag
from mesh.kafka.admin import create_topics
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings, load
from mesh.topics import CATALOGUE


class TokenSettings(BaseSettings):
    """The secret that tokens are signed with."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", frozen=True, extra="ignore")

    jwt_secret: SecretStr | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a known failure ends with its message and exit code 1."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except MeshError as error:
        sys.exit(f"mesh: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mesh", description=__doc__)
    commands = parser.add_subparsers(required=True)

    schemas = commands.add_parser("schemas", help="Avro schemas").add_subparsers(required=True)
    schemas.add_parser("register", help="register every topic's schema").set_defaults(run=_register)
    check = schemas.add_parser("check", help="compatibility with the last tag")
    check.add_argument("--against", help="a git revision instead of the last tag")
    check.set_defaults(run=_check)

    topics = commands.add_parser("topics", help="topics").add_subparsers(required=True)
    topics.add_parser("create", help="create what is missing").set_defaults(run=_create_topics)

    token = commands.add_parser("token", help="issue a bearer token")
    token.add_argument("--subject", default="operator")
    token.add_argument("--role", choices=ROLES, default="admin")
    token.add_argument("--hours", type=float, default=12.0)
    token.set_defaults(run=_token)

    commands.add_parser("key", help="make a key for SIGHTLINE_SECRET_KEY").set_defaults(run=_key)

    add_models(commands)
    add_letters(commands)
    return parser


def _register(_: argparse.Namespace) -> None:
    settings, library = MeshSettings.load(), SchemaLibrary.packaged()
    registry = ConfluentRegistry(settings.registry_url)
    for spec in CATALOGUE:
        schema = library.value_schema(spec)
        if schema is not None:
            subject = f"{settings.topics(spec.name)}-value"
            schema_id = registry.register(subject, schema, compatibility(spec))
            print(f"{subject}: id {schema_id}, {compatibility(spec)}")


def _check(args: argparse.Namespace) -> None:
    for line in check_against_tag(SchemaLibrary.packaged(), args.against):
        print(line)


def _create_topics(_: argparse.Namespace) -> None:
    for name in create_topics(MeshSettings.load()):
        print(f"created {name}")


def _token(args: argparse.Namespace) -> None:
    tokens = Tokens(load(TokenSettings).jwt_secret)
    lifetime = timedelta(hours=args.hours)
    print(tokens.issue(args.subject, args.role, lifetime, SystemClock().now()))


def _key(_: argparse.Namespace) -> None:
    print(Cipher.new_key())
