"""A bucket is opened with the settings that a cloud's own tools find. Nothing is asked of any server here."""

import os
import sys

import pytest

from pipeline import clouds
from pipeline.bucket import bucket_of
from pipeline.clouds import error_of, opened_bucket
from pipeline.errors import BucketDenied, BucketError, BucketUnreachable, BucketUnusable, UsageError
from pipeline.objectpath import object_path


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    """Nothing is set, and no shared file of AWS is there."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(clouds, "_region_of", lambda bucket: "eu-south-2")


def test_the_keys_of_the_default_profile_are_taken(tmp_path):
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = key\naws_secret_access_key = s%cret\n")
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    config = opened_bucket("s3", "bucket").config
    assert (config["access_key_id"], config["secret_access_key"], config["region"]) == ("key", "s%cret", "eu-west-1")


def test_the_environment_goes_before_the_default_profile_and_a_named_profile_before_the_environment(tmp_path, monkeypatch):
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = default\naws_secret_access_key = x\n"
        "[work]\naws_access_key_id = work\naws_secret_access_key = x\naws_session_token = token\n"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert "access_key_id" not in opened_bucket("s3", "bucket").config  # obstore reads the environment itself
    monkeypatch.setenv("AWS_PROFILE", "work")
    config = opened_bucket("s3", "bucket").config
    assert (config["access_key_id"], config["session_token"]) == ("work", "token")


def test_a_profile_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "another")
    with pytest.raises(BucketUnusable, match="AWS_PROFILE is another, and neither shared file of AWS has that profile"):
        opened_bucket("s3", "bucket")


def test_a_shared_file_that_is_none_is_told(tmp_path):
    (tmp_path / "config").write_text("aws_access_key_id = key\n")
    with pytest.raises(UsageError, match=r"cannot read AWS' settings in .*/config"):
        opened_bucket("s3", "bucket")


def test_a_user_without_a_home_has_no_shared_file(homeless, monkeypatch):
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert opened_bucket("s3", "bucket").config["region"] == "eu-south-2"


@pytest.mark.parametrize(
    "setting", ["role_arn = arn:aws:iam::1:role/x", "sso_session = corp", "credential_process = /bin/x"]
)
def test_what_boto3_must_follow_is_told_where_boto3_is_not(tmp_path, monkeypatch, setting):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setenv("AWS_PROFILE", "work")
    (tmp_path / "config").write_text(f"[profile work]\n{setting}\n")
    with pytest.raises(UsageError, match="pip install boto3"):
        opened_bucket("s3", "bucket")


def test_a_region_that_nobody_names_is_asked_for_but_not_of_another_server(monkeypatch):
    assert opened_bucket("s3", "bucket").config["region"] == "eu-south-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-1")
    assert opened_bucket("s3", "bucket").config["region"] == "us-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://minio.example")
    assert opened_bucket("s3", "bucket").config.get("region") != "eu-south-2"


def test_plain_http_is_allowed_where_the_user_has_set_such_an_address(monkeypatch):
    for address, is_allowed in (("http://127.0.0.1:9000", True), ("https://minio.example", False)):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert opened_bucket("s3", "bucket").client_options["allow_http"] in ({is_allowed, str(is_allowed).lower()})


def test_azures_account_is_found_under_the_names_of_its_command_line(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "account")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "bm9uZQ==")
    config = opened_bucket("az", "box").config
    assert (config["account_name"], config["account_key"]) == ("account", "bm9uZQ==")


def test_a_connection_string_of_azure_is_taken(monkeypatch):
    text = "DefaultEndpointsProtocol=http;AccountName=dev;AccountKey=bm9uZQ==;BlobEndpoint=http://127.0.0.1:10000/dev;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    config = opened_bucket("az", "box").config
    assert (config["account_name"], config["account_key"], config["endpoint"]) == (
        "dev",
        "bm9uZQ==",
        "http://127.0.0.1:10000/dev",
    )


def test_azure_without_an_account_is_told():
    with pytest.raises(UsageError, match=r"cannot open az://box: .*ccount"):
        opened_bucket("az", "box")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"pip install 'flowlog-pipeline\[cloud\]'"):
        bucket_of(object_path("gs://without-the-package"))


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", BucketUnusable, "there is no such bucket"),
        ("status code: 400 Bad Request: <Code>ExpiredToken</Code>", BucketDenied, "have expired"),
        (
            "<Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message>",
            BucketUnusable,
            "set AWS_REGION to the bucket's eu-west-1",
        ),
        ("Received redirect without LOCATION, this normally indicates", BucketUnusable, "in another region"),
        ("<Code>SlowDown</Code>", BucketUnreachable, "status SlowDown"),
        ("Error performing PUT http://169.254.169.254/latest/api/token", BucketUnusable, "no credentials were found"),
        ("status code: 403 Forbidden: <Code>AccessDenied</Code>", BucketDenied, "do not allow this request"),
        ("status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>", BucketDenied, "clock is wrong"),
        ("status code: 503 Slow Down", BucketUnreachable, "status 503"),
        ("HTTP error: error sending request", BucketUnreachable, "cannot be reached"),
        ("something new\n\nDebug source:\nAll {}", BucketError, "something new"),
    ],
)
def test_a_refusal_has_words(told, kind, words):
    error = error_of("s3://b/k", "s3://b", told)
    assert type(error) is kind
    assert words in error.problem == error.problem.strip()
    assert "Debug" not in str(error)
    assert error.path == ("s3://b" if kind is BucketUnusable else "s3://b/k")
