"""The clouds' own ways: how a bucket is opened, with the settings that a cloud's tools find, and what its refusals mean.

obstore reads the environment, and asks the machine for the role it has. What the tools read besides, this module reads for
obstore: the profiles of AWS' shared files, the region of a bucket, and the names under which Azure's command line knows an
account.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as BadProfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BucketDenied, BucketError, BucketUnreachable, BucketUnusable, UsageError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    #: A bucket as obstore has it open.
    Store = AzureStore | GCSStore | S3Store

#: Each try has so many seconds; a range of a large object fits into them on a slow line.
_TIMEOUT = "60s"
#: The waits between the tries double from a tenth of a second: half a minute together.
_TRIES = {"max_retries": 8}


def opened_bucket(scheme: str, name: str) -> Store:
    """Opens a bucket. Nothing is asked of the bucket; of AWS, the region is, where no setting names one.

    Raises:
        UsageError: A package that a profile needs is missing, or a setting is not one that obstore takes.
        BucketUnusable: The credentials that the settings name are not there.
    """
    from obstore.exceptions import BaseError

    try:
        return {"s3": _s3, "gs": _gs, "az": _az}[scheme](name)
    except (BaseError, ValueError) as error:
        told = str(error).split("\n", 1)[0]
        raise UsageError(f"cannot open {scheme}://{name}: {told}; see docs/buckets.md for the settings") from error


def _first(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _options(endpoint: str | None) -> Any:
    """What all clouds share. Plain HTTP is for servers whose address the user has set so."""
    plain = bool(endpoint and endpoint.startswith("http://"))
    return {"client_options": {"timeout": _TIMEOUT, "allow_http": plain}, "retry_config": _TRIES}


def _gs(name: str) -> Store:
    from obstore.store import GCSStore

    return GCSStore(name, **_options(_first("GOOGLE_BASE_URL")))


def _az(name: str) -> Store:
    from obstore.store import AzureStore

    settings = _of_connection(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    if account := os.environ.get("AZURE_STORAGE_ACCOUNT"):  # as Azure's command line has it
        settings["account_name"] = account
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        settings["account_key"] = key
    endpoint = settings.get("endpoint") or _first("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    return AzureStore(name, config=settings, **_options(endpoint))


def _of_connection(text: str) -> Any:
    """What a connection string says, in obstore's words."""
    words = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_key",
        "BlobEndpoint": "endpoint",
    }
    pairs = (part.partition("=") for part in text.split(";"))
    return {words[word.strip()]: value.strip() for word, _, value in pairs if word.strip() in words}


def _s3(name: str) -> Store:
    from obstore.store import S3Store

    endpoint = _first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    settings, provider = _aws_credentials(name)
    region = _first("AWS_REGION", "AWS_DEFAULT_REGION") or settings.get("region")
    if not region and not endpoint:
        region = _region_of(name)
    if region:
        settings["region"] = region
    return S3Store(name, config=settings, credential_provider=provider, **_options(endpoint))


#: Any of these says who is asking, so no profile is looked for.
_AWS_IDENTITIES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)


def _aws_credentials(bucket: str) -> tuple[Any, Any]:
    """What a profile adds to the environment: settings, and whoever gives credentials that change.

    A named profile goes first, as for AWS' own tools; without a name, the default profile is asked where the environment names
    no identity. Keys that stand in the profile are read here; roles, single sign-on and programs are boto3's business.
    """
    asked = os.environ.get("AWS_PROFILE")
    if not asked and any(os.environ.get(name) for name in _AWS_IDENTITIES):
        return {}, None
    name = asked or "default"
    profile = _profile(name)
    if not profile:
        if asked:
            raise BucketUnusable(
                f"s3://{bucket}", f"AWS_PROFILE is {asked}, and neither shared file of AWS has that profile"
            )
        return {}, None
    settings = {"region": profile["region"]} if "region" in profile else {}
    words = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "session_token",
    }
    if "aws_access_key_id" in profile and "role_arn" not in profile:
        return settings | {words[word]: profile[word] for word in words if word in profile}, None
    if {"role_arn", "credential_process"} & profile.keys() or any(word.startswith("sso_") for word in profile):
        return settings, _of_boto3(name, bucket)
    return settings, None


def _profile(name: str) -> Mapping[str, str]:
    """A profile of AWS' shared files, the keys' file before the settings'; without anything if there is none.

    Raises:
        UsageError: A file cannot be read.
    """
    found: dict[str, str] = {}
    for variable, usual, section in (
        ("AWS_CONFIG_FILE", "~/.aws/config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", name),
    ):
        path = Path(os.path.expanduser(os.environ.get(variable, usual)))  # noqa: PTH111 - a user without a home has no such file
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, UnicodeDecodeError, BadProfile) as error:
            raise UsageError(f"cannot read AWS' settings in {path}: {str(error).splitlines()[0]}") from error
        if parser.has_section(section):
            found |= parser[section]
    return found


def _of_boto3(profile: str, bucket: str) -> Any:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise UsageError(
            f"the AWS profile {profile} takes a role, single sign-on or a program, which the package boto3 follows: "
            "pip install boto3; or put the keys into the environment: "
            f'eval "$(aws configure export-credentials --profile {profile} --format env)"'
        ) from None
    try:
        provider = Boto3CredentialProvider(boto3.Session(profile_name=profile))
        provider()  # a session that has ended is told here, in words
    except (BotoCoreError, ValueError, AssertionError) as error:
        raise BucketUnusable(f"s3://{bucket}", f"the AWS profile {profile} gives no credentials: {error}") from error
    return provider


def _region_of(bucket: str) -> str | None:
    """The region of a bucket, which AWS tells to anybody; None where AWS does not answer, as the first request will say."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(f"https://s3.amazonaws.com/{bucket}", method="HEAD"), timeout=10) as answer:
            return answer.headers.get("x-amz-bucket-region")
    except HTTPError as error:  # the name is known, and the content is not for everybody
        return error.headers.get("x-amz-bucket-region")
    except (OSError, HTTPException):
        return None


def error_of(path: str, bucket: str, told: str) -> BucketError:
    """What obstore tells, in this project's words."""
    told = " ".join(told.partition("\n\nDebug source")[0].split())
    for pattern, kind, problem in _TOLD:
        if match := re.search(pattern, told):
            named = {name: value or "" for name, value in match.groupdict().items()}
            return kind(bucket if kind is BucketUnusable else path, problem.format(**named).rstrip())
    return BucketError(path, told)


#: What clouds and obstore tell, the error it is, and the words for it. The first pattern that fits says.
_TOLD: tuple[tuple[str, type[BucketError], str], ...] = (
    (
        r"<Code>(NoSuchBucket|ContainerNotFound)",
        BucketUnusable,
        "there is no such bucket: make it, or mend the name",
    ),
    (
        r"<Code>(ExpiredToken|TokenRefreshRequired)|ID token is expired",
        BucketDenied,
        "the credentials have expired: get new ones",
    ),
    (
        r"redirect without LOCATION|<Code>(PermanentRedirect|AuthorizationHeaderMalformed)(.*expecting '(?P<region>[^']+)')?",
        BucketUnusable,
        "the bucket is in another region than the one that is set: set AWS_REGION to the bucket's {region}",
    ),
    (
        r"169\.254\.169\.254|metadata\.google\.internal|MissingCredentialConfig|<Code>NoAuthenticationInformation",
        BucketUnusable,
        "no credentials were found, and this machine has no role of its own; docs/buckets.md names the settings",
    ),
    (
        r"<Code>(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|AuthenticationFailed)|status code: 401",
        BucketDenied,
        "the credentials are not valid: the key is unknown, or its secret is another",
    ),
    (
        r"<Code>RequestTimeTooSkewed",
        BucketDenied,
        "this machine's clock is wrong, so the bucket trusts no request: set the clock",
    ),
    (
        r"<Code>(InvalidObjectState|BlobArchived)",
        BucketError,
        "the object is archived, and must be restored before anybody can read it",
    ),
    (
        r"status code: 403|\bAccessDenied\b",
        BucketDenied,
        "the credentials do not allow this request; docs/buckets.md has the permissions that flowlog needs",
    ),
    (
        r"object with invalid path: (?P<why>.*)",
        BucketError,
        "an object there has a key that cannot be asked for, so nothing beside the object can be listed: {why}",
    ),
    (
        r"URL scheme is not allowed",
        BucketUnusable,
        "its address begins with http://; docs/buckets.md names the settings that allow this",
    ),
    (
        r"(status code: |<Code>)(?P<status>429|5\d\d|SlowDown)",
        BucketUnreachable,
        "the server is overloaded or has a fault (status {status}), after several tries: try again later",
    ),
    (
        r"HTTP error|error sending request|request or response body",
        BucketUnreachable,
        "the server cannot be reached, after several tries: look at the network and at the address of the server",
    ),
)
