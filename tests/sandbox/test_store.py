"""What an older home lacks is added when the sandbox starts again."""

from pathlib import Path

from cryptography import x509

from sandbox.internet import Authority
from sandbox.store import Store


def test_columns_are_added_once(tmp_path: Path) -> None:
    schema = "CREATE TABLE IF NOT EXISTS things (name TEXT NOT NULL) STRICT;"
    store = Store(tmp_path / "s.sqlite3")
    store.extend(schema)
    store.insert("things", {"name": "old"})
    for _ in range(2):
        store.extend(schema, [("things", "size", "INTEGER NOT NULL DEFAULT 7")])
    (row,) = store.all("SELECT * FROM things")
    assert (row["name"], row["size"]) == ("old", 7)
    store.close()


def test_a_host_that_came_later_gets_into_the_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server_files("gateway", ["a.example"])
    path, _ = authority.server_files("gateway", ["a.example", "b.example"])
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example", "b.example"]
    made = path.read_bytes()
    authority.server_files("gateway", ["a.example", "b.example"])
    assert path.read_bytes() == made
