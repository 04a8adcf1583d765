"""The development authority."""

import json
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import jwt
import pytest
from cryptography import x509

from ops.local.pki import LEAF_LIFE, KeyPair, PkiError, ensure_ca, ensure_jwt_keys, ensure_leaf

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def ca(tmp_path: Path) -> KeyPair:
    return ensure_ca(tmp_path, lambda: NOW)


def certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_a_leaf_names_its_service_and_is_signed_by_the_authority(tmp_path: Path, ca: KeyPair) -> None:
    leaf = certificate(
        ensure_leaf(tmp_path, ca, "edge", ("localhost",), ("127.0.0.1", "::1"), now=lambda: NOW)
    )
    leaf.verify_directly_issued_by(certificate(ca))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://reverie.local/service/edge"
    ]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]


def test_a_leaf_can_not_sign(tmp_path: Path, ca: KeyPair) -> None:
    leaf = certificate(ensure_leaf(tmp_path, ca, "query", now=lambda: NOW))
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_what_is_there_and_good_is_left_alone(tmp_path: Path, ca: KeyPair) -> None:
    files = [ca.certificate, ca.key, *_files(ensure_leaf(tmp_path, ca, "query", now=lambda: NOW))]
    keys = ensure_jwt_keys(tmp_path)
    files += [keys.key, keys.jwks]
    before = [path.read_bytes() for path in files]
    ensure_ca(tmp_path, lambda: NOW)
    ensure_leaf(tmp_path, ca, "query", now=lambda: NOW)
    assert ensure_jwt_keys(tmp_path) == keys
    assert [path.read_bytes() for path in files] == before


def test_what_nears_its_end_is_made_again(tmp_path: Path, ca: KeyPair) -> None:
    first = certificate(ensure_leaf(tmp_path, ca, "query", now=lambda: NOW))
    later = NOW + LEAF_LIFE - timedelta(days=29)
    assert certificate(ensure_leaf(tmp_path, ca, "query", now=lambda: later)).not_valid_before_utc > NOW
    assert first.not_valid_after_utc == NOW + LEAF_LIFE


def test_other_names_or_another_authority_make_a_new_leaf(tmp_path: Path, ca: KeyPair) -> None:
    plain = ensure_leaf(tmp_path, ca, "query", now=lambda: NOW).certificate.read_bytes()
    named = ensure_leaf(tmp_path, ca, "query", ("localhost",), now=lambda: NOW).certificate.read_bytes()
    assert named != plain
    other = ensure_ca(tmp_path / "other", lambda: NOW)
    again = ensure_leaf(tmp_path, other, "query", ("localhost",), now=lambda: NOW)
    certificate(again).verify_directly_issued_by(certificate(other))


def test_a_pair_whose_halves_do_not_match_is_made_again(tmp_path: Path, ca: KeyPair) -> None:
    query, edge = (ensure_leaf(tmp_path, ca, name, now=lambda: NOW) for name in ("query", "edge"))
    query.key.write_bytes(edge.key.read_bytes())
    mended = ensure_leaf(tmp_path, ca, "query", now=lambda: NOW)
    assert mended.key.read_bytes() != edge.key.read_bytes()


def test_only_the_owner_can_read_keys(tmp_path: Path, ca: KeyPair) -> None:
    for path in (ca.key, ensure_leaf(tmp_path, ca, "query").key, ensure_jwt_keys(tmp_path).key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".*")) == []


def test_a_damaged_file_is_named(tmp_path: Path, ca: KeyPair) -> None:
    ca.certificate.write_text("no certificate")
    with pytest.raises(PkiError, match=r"ca\.pem"):
        ensure_ca(tmp_path)


def test_a_jwt_by_the_key_is_verified_by_the_key_set(tmp_path: Path) -> None:
    keys = ensure_jwt_keys(tmp_path)
    token = jwt.encode({"iss": "reverie"}, keys.key.read_bytes(), "ES256", headers={"kid": keys.key_id})
    (entry,) = json.loads(keys.jwks.read_text())["keys"]
    assert entry["kid"] == keys.key_id
    assert "d" not in entry
    assert jwt.decode(token, jwt.PyJWK(entry), ["ES256"]) == {"iss": "reverie"}


def _files(pair: KeyPair) -> list[Path]:
    return [pair.certificate, pair.key]
