"""
The gateway's TLS: contexts for serving, and a test installation's own authority.

In test mode without a certificate the gateway makes an authority of its own, once,
below its state folder; clients are given `authority.pem` explicitly. Live mode never
does that. Protocols and curves are those of Mozilla's intermediate profile.
"""

import ipaddress
import os
import ssl
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from counterfoil.clock import Clock

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
RENEW_DAYS = 30
GROUPS = "X25519:prime256v1:secp384r1"
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Identity(msgspec.Struct, frozen=True):
    """
    Where certificate and private key lie, and the authority if it is our own.
    """

    certificate: Path
    private_key: Path
    authority: Path | None


def identity_in(folder: Path) -> Identity:
    """
    Return the certificate that lies in *folder*, whether or not it was made yet.
    """
    return Identity(folder / "server.pem", folder / "server.key", folder / "authority.pem")


def own_identity(folder: Path, names: tuple[str, ...], clock: Clock) -> Identity:
    """
    Return a certificate for *names* from our own test authority; make or renew what is missing.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = identity_in(folder)
    authority_key = folder / "authority.key"
    assert identity.authority is not None
    if not identity.authority.exists() or not authority_key.exists():
        _make_authority(identity.authority, authority_key, clock)
        identity.certificate.unlink(missing_ok=True)
    if not _serves(identity.certificate, names, clock):
        _make_certificate(identity, authority_key, names, clock)
    return identity


def server_context(identity: Identity) -> ssl.SSLContext:
    """
    Return the context for serving: TLS 1.2 and 1.3, forward secrecy, AEAD only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(identity.certificate, identity.private_key)
    return context


def limit_groups(folder: Path) -> None:
    """
    Limit the key exchange groups of this process to GROUPS; call before `ssl` is first used.

    Python before 3.15 has no call for it, OpenSSL's configuration file does.
    """
    path = folder / "openssl.cnf"
    text = (
        "openssl_conf = counterfoil\n[counterfoil]\nssl_conf = ssl\n"
        f"[ssl]\nsystem_default = defaults\n[defaults]\nGroups = {GROUPS}\n"
        "MinProtocol = TLSv1.2\n"
    )
    if not path.exists() or path.read_text("ascii") != text:
        _write(path, text.encode("ascii"), 0o600)
    os.environ["OPENSSL_CONF"] = str(path)


def _make_authority(path: Path, key_path: Path, clock: Clock) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "Counterfoil test authority (this machine only)")]
    )
    now = clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(key_path, _pem(key), 0o600)
    _write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _make_certificate(
    identity: Identity, authority_key: Path, names: tuple[str, ...], clock: Clock
) -> None:
    assert identity.authority is not None
    authority = x509.load_pem_x509_certificate(identity.authority.read_bytes())
    signer = serialization.load_pem_private_key(authority_key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    _write(identity.private_key, _pem(key), 0o600)
    _write(identity.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _serves(path: Path, names: tuple[str, ...], clock: Clock) -> bool:
    """
    Return whether the certificate is there, is for exactly *names* and lives a while yet.
    """
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    wanted = x509.SubjectAlternativeName([_general_name(name) for name in names])
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lives = certificate.not_valid_after_utc > clock.now() + timedelta(days=RENEW_DAYS)
    return found == wanted and lives


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """
    Write *content* under its name only when it is complete.
    """
    part = path.with_suffix(path.suffix + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
