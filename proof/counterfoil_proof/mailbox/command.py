"""
The command `mailbox`, also of `counterfoil` where this package is installed.
"""

from pathlib import Path

from counterfoil_shop import log, loopback

from counterfoil_proof.mailbox.server import serve


def mailbox(
    *, state: Path, smtp_port: int = 8025, http_port: int = 8026, keep: bool = True
) -> None:
    """
    Take mail on this machine and show it on pages, until SIGTERM or Ctrl-C.

    Nothing is sent on. STATE/mailbox/serving.json says where it listens while it does.

    Parameters
    ----------
    state
        The demo's folder; messages are kept in STATE/mailbox/messages.
    smtp_port
        Where mail is delivered; 0 lets the system choose.
    http_port
        Where the pages are; 0 lets the system choose.
    keep
        Without it each mail is taken and forgotten.
    """
    log.setup()
    try:
        serve(state, smtp_port=smtp_port, http_port=http_port, keeps=keep)
    except (loopback.CannotListenError, loopback.AlreadyRunningError) as error:
        raise SystemExit(f"mailbox: {error}") from None
