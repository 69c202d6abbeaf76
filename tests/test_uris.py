from archsearch.uris import shown_uri


def test_passwords_are_not_shown():
    assert shown_uri("postgresql://me:pw@h:5/db") == "postgresql://me:***@h:5/db"
    assert shown_uri("http://h:5000") == "http://h:5000"
