"""Passwords of the local PostgreSQL."""

import base64
import hmac

from ops.local.postgres import scram_matches, scram_verifier

SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
NONCE = "rOprNGfwEbeRWgbNEkqO"
BOTH_NONCES = f"{NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"


def test_a_verifier_holds_the_server_key_of_the_standard() -> None:
    """The exchange of RFC 7677, section 3: its last message is signed with the server's key."""
    verifier = scram_verifier("pencil", base64.b64decode(SALT), 4096)
    assert verifier.startswith(f"SCRAM-SHA-256$4096:{SALT}$")
    server_key = base64.b64decode(verifier.rpartition(":")[2])
    said = f"n=user,r={NONCE},r={BOTH_NONCES},s={SALT},i=4096,c=biws,r={BOTH_NONCES}"
    signature = base64.b64encode(hmac.digest(server_key, said.encode(), "sha256"))
    assert signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_verifier_matches_its_password_alone() -> None:
    verifier = scram_verifier("pencil")
    assert scram_matches(verifier, "pencil")
    assert not scram_matches(verifier, "pencils")
    assert not scram_matches("", "pencil")
    assert not scram_matches("md5abc", "pencil")
