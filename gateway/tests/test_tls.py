"""
The gateway's TLS: what a client can negotiate, and a test installation's own authority.
"""

import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from counterfoil.tls import (
    AUTHORITY_DAYS,
    CERTIFICATE_DAYS,
    GROUPS,
    RENEW_DAYS,
    Identity,
    limit_groups,
    own_identity,
    server_context,
)
from cryptography import x509
from payment_stage import HandClock

NAMES = ("localhost", "127.0.0.1", "::1")


@pytest.fixture
def clock() -> HandClock:
    return HandClock(datetime.now(UTC))


@pytest.fixture
def identity(tmp_path: Path, clock: HandClock) -> Identity:
    return own_identity(tmp_path / "tls", NAMES, clock)


def client_context(identity: Identity) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=identity.authority)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Let both sides speak to each other in memory and return the client's side."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    finished: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (theirs, ours):
            try:
                side.do_handshake()
                finished.add(side)
            except ssl.SSLWantReadError:
                continue
        if len(finished) == 2:
            return theirs
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_has_the_authority_trusts_every_name(identity: Identity, name: str) -> None:
    """Name and addresses alike, with the checks that a browser makes."""
    session = shake_hands(server_context(identity), client_context(identity), name)

    assert session.version() == "TLSv1.3"


def test_another_name_is_not_served(identity: Identity) -> None:
    """The certificate is for exactly the configured names."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server_context(identity), client_context(identity), "bank.example")


def test_nobody_trusts_it_without_the_authority(identity: Identity) -> None:
    """It is this machine's own, and in no browser's list."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server_context(identity), ssl.create_default_context(), "localhost")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_before_1_2_is_refused(identity: Identity) -> None:
    """PCI DSS 4.2.1: early TLS is no strong cryptography."""
    server = server_context(identity)

    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
    client = client_context(identity)
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client, "localhost")


def test_only_ciphers_with_forward_secrecy_and_integrity_are_offered(identity: Identity) -> None:
    """Mozilla's intermediate profile: ECDHE and AEAD."""
    ciphers = server_context(identity).get_ciphers()

    assert ciphers
    assert all(each["aead"] for each in ciphers)
    assert {each["kea"] for each in ciphers} <= {"kx-ecdhe", "kx-any"}


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
def test_a_client_with_weaker_ciphers_only_is_refused(identity: Identity, cipher: str) -> None:
    """No forward secrecy; no authenticated encryption."""
    client = client_context(identity)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(cipher)

    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(identity), client, "localhost")


def test_private_keys_are_for_their_owner_only(identity: Identity) -> None:
    """Authority and server; the folder too."""
    folder = identity.certificate.parent
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}

    assert modes["server.key"] == modes["authority.key"] == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not any(name.endswith(".part") for name in modes)


def test_a_second_start_serves_the_same_certificate(
    identity: Identity, tmp_path: Path, clock: HandClock
) -> None:
    """Clients that pinned it go on."""
    before = identity.certificate.read_bytes()

    assert own_identity(tmp_path / "tls", NAMES, clock) == identity
    assert identity.certificate.read_bytes() == before


def test_the_certificate_is_renewed_before_it_ends(
    identity: Identity, tmp_path: Path, clock: HandClock
) -> None:
    """By the same authority, so that no client notices."""
    authority = identity.authority
    assert authority is not None
    before, trusted = identity.certificate.read_bytes(), authority.read_bytes()
    clock.move((CERTIFICATE_DAYS - RENEW_DAYS + 1) * 86_400)

    own_identity(tmp_path / "tls", NAMES, clock)

    renewed = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    assert identity.certificate.read_bytes() != before
    assert renewed.not_valid_after_utc > clock.now() + timedelta(days=RENEW_DAYS)
    assert authority.read_bytes() == trusted


def test_other_names_make_another_certificate(
    identity: Identity, tmp_path: Path, clock: HandClock
) -> None:
    """A changed configuration is served at the next start, under the same authority."""
    renamed = own_identity(tmp_path / "tls", ("pay.example", "127.0.0.1"), clock)

    assert shake_hands(server_context(renamed), client_context(renamed), "pay.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server_context(renamed), client_context(renamed), "localhost")


def test_an_authority_that_lost_its_key_is_made_anew_with_what_it_signed(
    identity: Identity, tmp_path: Path, clock: HandClock
) -> None:
    """Half an authority can renew nothing."""
    (tmp_path / "tls" / "authority.key").unlink()

    again = own_identity(tmp_path / "tls", NAMES, clock)

    assert shake_hands(server_context(again), client_context(again), "localhost")


def test_the_authority_signs_nothing_but_this_servers_certificate(identity: Identity) -> None:
    """No further authorities below it; the server's certificate signs nothing at all."""
    assert identity.authority is not None
    authority = x509.load_pem_x509_certificate(identity.authority.read_bytes())
    server = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    ours = server.extensions.get_extension_for_class(x509.BasicConstraints).value

    assert (limits.ca, limits.path_length) == (True, 0)
    assert ours.ca is False
    assert (authority.not_valid_after_utc - authority.not_valid_before_utc).days > AUTHORITY_DAYS
    server.verify_directly_issued_by(authority)


def test_key_exchange_groups_are_limited_through_openssls_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X448 and P-521 stay off: the file says so, and the next process reads it."""
    monkeypatch.setenv("OPENSSL_CONF", "")

    limit_groups(tmp_path)

    path = Path(os.environ["OPENSSL_CONF"])
    assert path == tmp_path / "openssl.cnf"
    assert f"Groups = {GROUPS}" in path.read_text()
    assert GROUPS == "X25519:prime256v1:secp384r1"
