"""
What the gateway offers before the first request: TLS 1.2 and 1.3, three groups, no word more.
"""

import re
import shutil
import socket
import ssl
import subprocess

import httpx2
import pytest
from installation import LOOPBACK, Installation

OPENSSL = shutil.which("openssl")
HANDSHAKE_SECONDS_MAX = 20
ENDED_SECONDS_MAX = 10.0
ANY = "ALL:@SECLEVEL=0"  # So that it is the server that refuses.

needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


def handshake(installation: Installation, *options: str) -> subprocess.CompletedProcess[str]:
    """Shake hands as `openssl s_client` and hang up."""
    assert OPENSSL is not None
    return subprocess.run(
        [OPENSSL, "s_client", "-connect", f"{LOOPBACK}:{installation.port}", *options],
        input="",
        capture_output=True,
        text=True,
        timeout=HANDSHAKE_SECONDS_MAX,
    )


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls_1_2_and_1_3_are_accepted(installation: Installation, version: str):
    """With the installation's own authority, on the address it is for."""
    trusting = ssl.create_default_context(cafile=str(installation.authority))
    trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion[version]
    with (
        socket.create_connection((LOOPBACK, installation.port)) as plain,
        trusting.wrap_socket(plain, server_hostname=LOOPBACK) as line,
    ):
        assert line.version() == version.replace("_", ".")


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_tls_is_refused(installation: Installation, version: str):
    """By the server: this client would speak it."""
    done = handshake(installation, version, "-cipher", ANY)

    assert done.returncode != 0
    assert "BEGIN CERTIFICATE" not in done.stdout


@needs_openssl
@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384"])
def test_three_groups_are_offered(installation: Installation, group: str):
    """Each alone suffices for a handshake."""
    done = handshake(installation, "-groups", group, "-CAfile", str(installation.authority))

    assert done.returncode == 0
    assert "Verify return code: 0 (ok)" in done.stdout


@needs_openssl
@pytest.mark.parametrize("group", ["P-521", "X448", "ffdhe2048", "ffdhe8192"])
def test_other_groups_are_not(installation: Installation, group: str):
    """They are slower, and their handshakes are a way to keep a server busy."""
    done = handshake(installation, "-groups", group)

    assert done.returncode != 0
    assert "BEGIN CERTIFICATE" not in done.stdout


@needs_openssl
@pytest.mark.parametrize(("group", "used"), [("X25519", "X25519"), ("P-521", "prime256v1")])
def test_tls_1_2_has_the_same_groups(installation: Installation, group: str, used: str):
    """A client's wish is granted if it is one of the three (P-256 is for our certificate)."""
    done = handshake(installation, "-tls1_2", "-groups", f"{group}:P-256")

    assert re.search(rf"(?:Server|Peer) Temp Key: .*\b{used}\b", done.stdout)


@needs_openssl
@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(
    installation: Installation, cipher: str
):
    """ECDHE with AES-GCM or ChaCha20-Poly1305, nothing else."""
    done = handshake(installation, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")

    assert done.returncode != 0


def test_a_stranger_to_our_authority_refuses_us(installation: Installation):
    """The demo's certificate is nobody else's business: it has to be trusted explicitly."""
    with pytest.raises(httpx2.ConnectError, match="certificate"):
        httpx2.get(f"{installation.url}/healthz")


@pytest.mark.parametrize(
    "sent", [b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n", b"\x00" * 64, b"\x16\x03\x01"]
)
def test_what_is_not_tls_gets_no_data(installation: Installation, sent: bytes):
    """No page, no redirect, no word about who listens there."""
    with socket.create_connection((LOOPBACK, installation.port)) as line:
        line.settimeout(ENDED_SECONDS_MAX)
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        try:
            answer = line.recv(4096)
        except ConnectionResetError:
            answer = b""

    assert b"HTTP" not in answer
    assert len(answer) <= len("\x15\x03\x01\x00\x02\x02\x46")  # At most a TLS alert.


@pytest.mark.parametrize("path", ["/healthz", "/v1/payments", "/nowhere"])
def test_every_answer_says_https_only_and_nothing_about_the_server(
    installation: Installation, api: httpx2.Client, path: str
):
    """A year of HSTS, no sniffing, and no name of any software."""
    answer = api.get(path)

    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers


def test_answers_about_payments_are_not_cached(api: httpx2.Client):
    """Neither in a browser nor on the way, nor errors about them."""
    assert api.get("/v1/payments").headers["cache-control"] == "no-store"
    assert api.get("/v1/payments/pay_1").headers["cache-control"] == "no-store"
