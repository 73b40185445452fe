"""
Ask the gateways that serve from a state folder what they see.
"""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from counterfoil.config import Configuration

ASK_SECONDS_MAX = 5.0
ANSWER_BYTES_MAX = 1_000_000
QUESTIONS_EACH_MAX = 12  # Of two that serve, one is not met in 1 of 8 million rounds.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - heard of, not listened on.


def json_of(path: Path) -> dict[str, Any]:
    """
    Return the object in *path*.

    Raises:
        OSError, ValueError: It cannot be read, or is none.
    """
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no object")
    return found


def ask_each(
    settings: Configuration, serving: dict[str, Any], names: set[str]
) -> dict[str, dict[str, Any]]:
    """
    Return what each of the gateway processes *names*, which share a port, says on `/readyz`.

    Whom a connection reaches is for the kernel to choose, so they are asked again and again; who
    is not met, serves no more.

    Raises:
        OSError, ValueError: One that was reached does not answer, or is none of them.
    """
    said: dict[str, dict[str, Any]] = {}
    for _ in range(QUESTIONS_EACH_MAX * len(names)):
        found = ask_readiness(settings, serving)
        if "checks" not in found or "process" not in found.get("notes", {}):
            raise ValueError(f"port {serving['port']}: who answers there is no gateway of ours")
        said[found["notes"]["process"]] = found
        if names <= said.keys():
            break
    return said


def ask_readiness(settings: Configuration, serving: dict[str, Any]) -> dict[str, Any]:
    """
    Return what `/readyz` of the gateway that *serving* tells of says.

    Raises:
        OSError, ValueError: It does not answer, or not with an object.
    """
    own = settings.api.certificate or settings.folder / "tls" / "authority.pem"
    context = ssl.create_default_context(cafile=own)
    context.check_hostname = False  # We ask by address; whose certificate it is counts.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # The certificate itself is enough.
    host = EVERYWHERE.get(serving["host"], serving["host"])
    connection = http.client.HTTPSConnection(
        host, int(serving["port"]), timeout=ASK_SECONDS_MAX, context=context
    )
    try:
        connection.request("GET", "/readyz")
        found = json.loads(connection.getresponse().read(ANSWER_BYTES_MAX))
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from error
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
