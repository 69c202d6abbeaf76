import pytest

from archsearch.errors import UserError
from archsearch.uris import check_password, expanded, shown_uri, without_secrets


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:secret@host:5000/a", "https://me:***@host:5000/a"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg2://me:se@cr@et@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("postgresql://me:se/c?r#e:t@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p%40ss@host/db?sslmode=require", "postgresql://me:***@host/db?sslmode=require"),
        ("postgresql://host/db?user=me&password=se%20cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("postgresql://me:a@host/db?sslpassword=b&PASSWORD=c", "postgresql://me:***@host/db?sslpassword=***&PASSWORD=***"),
        ("https://host/?access_token=abc#part", "https://host/?access_token=***#part"),
        ("https://host/?api_key=abc", "https://host/?api_key=***"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3D{x}%3BPWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("https://:secret@host", "https://:***@host"),
        ("mysql://me:12345@host/db", "mysql://me:***@host/db"),
        ("mysql://me:1@2@host/db", "mysql://me:***@host/db"),
        # nothing to hide
        ("sqlite:////home/me@work:x/mlflow.db", "sqlite:////home/me@work:x/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("file:///a/b", "file:///a/b"),
        ("runs/mlflow", "runs/mlflow"),
        ("databricks", "databricks"),
    ],
)  # fmt: skip
def test_passwords_are_not_shown(uri, shown):
    assert shown_uri(uri) == shown


def test_a_librarys_message_is_shown_without_the_passwords_in_it():
    said = "can't reach 'mysql://me:a@b@host/db' (retry https://x/?token=abc), nor sqlite:///a.db"
    assert without_secrets(said) == (
        "can't reach 'mysql://me:***@host/db' (retry https://x/?token=*** nor sqlite:///a.db"
    )


def test_an_address_takes_its_password_from_the_environment():
    uri = "postgresql://me:${DB_PASSWORD}@${HOST}/db"
    assert expanded(uri, {"DB_PASSWORD": "s$cret", "HOST": "h"}) == "postgresql://me:s$cret@h/db"
    with pytest.raises(UserError, match="no environment variable DB_PASSWORD; set it"):
        expanded(uri, {"HOST": "h"})
    assert expanded("sqlite:///$HOME/a.db", {}) == "sqlite:///$HOME/a.db"


@pytest.mark.parametrize(
    ("uri", "refused"),
    [
        ("postgresql://u:p@ss@host/x", True),
        ("postgresql://u:p@ss@host/x?sslmode=require", True),
        ("mysql+pymysql://u:@@host/x", True),
        ("postgresql://u:p%40ss@host/x", False),
        ("postgresql://u:p@host/a@b", True),  # too much rather than too little
        ("sqlite:////tmp/a:b@c@d.db", False),
        ("postgresql://u@host/x?password=a@b", False),
    ],
)
def test_an_at_sign_in_a_databases_password_is_refused_before_a_library_tells_it(uri, refused):
    if not refused:
        check_password(uri)
        return
    with pytest.raises(UserError, match="write %40") as error:
        check_password(uri)
    assert "ss@" not in str(error.value)
