"""The development authority: certificates by which proxies know each other, and the key that signs JWTs.

    ca = ensure_ca(home / "pki")
    leaf = ensure_leaf(home / "pki", ca, "query")                                # for a sidecar
    edge = ensure_leaf(home / "pki", ca, "edge", ("localhost",), ("127.0.0.1",))  # clients check its names
    keys = ensure_jwt_keys(home / "secrets")

Every `ensure_*` makes what is missing or about to expire and leaves the rest alone, so it may run always.
Keys are P-256 (ES256), readable by their owner only. For one machine: a cluster has an issuer of its own.
"""

import base64
import hashlib
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh import topology
from services.runtime import files
from services.runtime.clock import WallClock, utc_now

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
"""What has less than this left is made again by the next `ensure_*`."""
_SKEW = timedelta(minutes=5)
"""How far the clock of whoever checks may be behind."""


class PkiError(Exception):
    """Raised when files of the authority are there but can't be used; says which to remove."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class JwtKeys:
    """The key that signs JWTs and the public half by which edges and services verify them."""

    key: Path
    """PEM, PKCS 8."""
    jwks: Path
    """A JSON Web Key Set with one key."""
    key_id: str
    """The `kid` of that key, to be named in the header of every JWT."""


def ensure_ca(directory: Path, now: WallClock = utc_now) -> KeyPair:
    """The authority, in `ca.pem` and `ca.key`. A new one makes every leaf of the old one be issued again."""
    pair = KeyPair(directory / "ca.pem", directory / "ca.key")
    if _usable(pair, now()):
        return pair
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Reverie development CA")
    builder = (
        _certificate(name, name, key.public_key(), now(), CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _store(pair, builder.sign(key, hashes.SHA256()), key)


def ensure_leaf(
    directory: Path,
    ca: KeyPair,
    service: str,
    dns: Sequence[str] = (),
    addresses: Sequence[str] = (),
    trust_domain: str = topology.TRUST_DOMAIN,
    now: WallClock = utc_now,
) -> KeyPair:
    """The certificate of a service in `{service}.pem` and `{service}.key`, good for both ends of mutual TLS.

    It carries the SPIFFE id of the service, and the names and IP addresses given. It is issued again when it
    nears its end, when another authority signed it, or when it carries other names.
    """
    pair = KeyPair(directory / f"{service}.pem", directory / f"{service}.key")
    names = _names(topology.identity(service, trust_domain), dns, addresses)
    authority = _load(ca)
    if _usable(pair, now()) and _is_issued(_load(pair), authority, names):
        return pair
    return issue(pair, ca, service, names, now)


def issue(
    pair: KeyPair, ca: KeyPair, service: str, names: x509.SubjectAlternativeName, now: WallClock = utc_now
) -> KeyPair:
    """Make a new key and certificate in the files of `pair`, whatever they hold."""
    authority, signer = _load(ca), _load_key(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = (
        _certificate(_name(service), authority.subject, key.public_key(), now(), LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return _store(pair, builder.sign(signer, hashes.SHA256()), key)


def ensure_jwt_keys(directory: Path) -> JwtKeys:
    """The signing key in `jwt.key` and its public half in `jwks.json`. They do not expire."""
    key_path, jwks_path = directory / "jwt.key", directory / "jwks.json"
    if not key_path.exists():
        _write(key_path, _pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    entry = _jwk(_private(key_path).public_key())
    jwks = json.dumps({"keys": [entry]}, indent=2).encode() + b"\n"
    if not jwks_path.exists() or jwks_path.read_bytes() != jwks:
        _write(jwks_path, jwks, 0o644)
    return JwtKeys(key_path, jwks_path, entry["kid"])


def _jwk(public: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = public.public_numbers()
    coordinates = {"x": _base64(numbers.x.to_bytes(32, "big")), "y": _base64(numbers.y.to_bytes(32, "big"))}
    # RFC 7638: members in this order, without spaces.
    canonical = json.dumps({"crv": "P-256", "kty": "EC", **coordinates}, separators=(",", ":"))
    thumbprint = _base64(hashlib.sha256(canonical.encode()).digest())
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": thumbprint, **coordinates}


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _names(uri: str, dns: Sequence[str], addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier(uri),
            *(x509.DNSName(name) for name in dns),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        ]
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _usable(pair: KeyPair, now: datetime) -> bool:
    """Whether both files are there, belong together, and last a while."""
    if not (pair.certificate.exists() and pair.key.exists()):
        return False
    certificate = _load(pair)
    fresh = certificate.not_valid_after_utc - now > RENEW_BEFORE
    return fresh and certificate.public_key() == _load_key(pair).public_key()


def _is_issued(leaf: x509.Certificate, ca: x509.Certificate, names: x509.SubjectAlternativeName) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):  # another key, another kind of key, another name
        return False
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names


def _load(pair: KeyPair) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{pair.certificate} is no certificate; remove it to have a new one made") from error


def _load_key(pair: KeyPair) -> ec.EllipticCurvePrivateKey:
    return _private(pair.key)


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise PkiError(f"{path} is no private key; remove it to have a new one made") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an elliptic-curve key; remove it to have a new one made")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _store(pair: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    # The key goes first: a crash in between leaves a pair that does not match, which is made again.
    _write(pair.key, _pem(key), 0o600)
    _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return pair


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(path, content, mode=mode)
