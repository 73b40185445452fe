"""
The control port: set faults in a running rail, advance its business day.

A loopback TCP port (a folder may be too deep for a Unix socket); its number and a
token stand in `DIR/rail/control.json`, which only the owner can read. One JSON line
asks, one answers.
"""

import asyncio
import hmac
import json
import secrets
import socket
import sqlite3
from pathlib import Path
from typing import Any

from counterfoil_rail.faults import FaultError, Faults
from counterfoil_rail.host import AcquirerHost
from counterfoil_rail.log import Log
from counterfoil_rail.settlement.day import DAYS_MAX, BusinessDays
from counterfoil_rail.store import write_private_json

LINE_BYTES_MAX = 4096
ANSWER_BYTES_MAX = 65_536
ASK_SECONDS_MAX = 5.0
ADVANCE_SECONDS_MAX = 600.0  # All the days of one command.
RRN_LENGTH = 12
LOOPBACK = "127.0.0.1"
FILE_NAME = "control.json"


class ControlError(Exception):
    """
    The running rail refused, or none is running; the message says which.
    """


class NotRunningError(ControlError):
    """
    No rail answers.
    """


class ControlPort:
    """
    Listens on loopback and does what an asker with the token says.
    """

    def __init__(self, host: AcquirerHost, faults: Faults, days: BusinessDays, log: Log) -> None:
        self._host = host
        self._faults = faults
        self._days = days
        self._log = log
        self._token = secrets.token_urlsafe(32)
        self._server: asyncio.Server | None = None

    async def open(self, folder: Path) -> None:
        """
        Listen, and write down where.
        """
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=LINE_BYTES_MAX)
        port = self._server.sockets[0].getsockname()[1]
        write_private_json(folder / FILE_NAME, {"port": port, "token": self._token})

    def close(self, folder: Path) -> None:
        """
        Stop listening.
        """
        if self._server is not None:
            self._server.close()
            (folder / FILE_NAME).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), ASK_SECONDS_MAX)
            writer.write(f"{json.dumps(await self._answer(line))}\n".encode())
            await asyncio.wait_for(writer.drain(), ASK_SECONDS_MAX)
        except (TimeoutError, ValueError, ConnectionError):
            self._log.event("control_refused")
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        asked = json.loads(line)
        token = asked.get("token") if isinstance(asked, dict) else None
        if not isinstance(token, str) or not hmac.compare_digest(token, self._token):
            return {"error": "the token is not this rail's"}
        try:
            if "set" in asked:
                name, value = asked["set"]
                self._set(str(name), str(value))
            if "advance" in asked:
                return {"days": await self._advance(int(asked["advance"]))}
        except (FaultError, sqlite3.Error, OSError) as error:
            return {"error": str(error)}
        return {"faults": self._faults.armed()}

    async def _advance(self, days: int) -> list[list[object]]:
        """
        Advance the business day; between two days the links get their turn.
        """
        done: list[list[object]] = []
        for _ in range(min(days, DAYS_MAX)):
            advanced = self._days.advance()
            self._log.event("day_advanced", **advanced._asdict())
            done.append(list(advanced))
            await asyncio.sleep(0)
        return done

    def _set(self, name: str, value: str) -> None:
        if name == "close_batch":
            closed = self._host.close_batches(_batch_name(value))
            self._log.event("batches_closed", count=closed)
        elif name == "expire_holds":
            ended = self._host.end_holds(_hold_name(value))
            self._log.event("holds_ended", count=ended)
        else:
            self._faults.set(name, value)
            self._log.event("fault_set", name=name, value=value)


def ask(
    folder: Path, request: dict[str, object], *, seconds: float = ASK_SECONDS_MAX
) -> dict[str, Any]:
    """
    Ask the rail that runs in *folder*; return its answer.

    Raises:
        NotRunningError: None runs there.
        ControlError: It refused.
    """
    try:
        control = json.loads((folder / FILE_NAME).read_text())
        address = (LOOPBACK, control["port"])
        with socket.create_connection(address, timeout=seconds) as connection:
            connection.sendall(f"{json.dumps(request | {'token': control['token']})}\n".encode())
            with connection.makefile("r") as lines:
                answer: dict[str, Any] = json.loads(lines.readline(ANSWER_BYTES_MAX))
    except (OSError, ValueError, KeyError) as error:
        raise NotRunningError(f"no rail answers for {folder}: start it first") from error
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


def _hold_name(value: str) -> str | None:
    if value == "all":
        return None
    if len(value) != RRN_LENGTH or not value.isalnum():
        raise FaultError("expire_holds takes all, or the RRN of an authorization")
    return value


def _batch_name(value: str) -> tuple[str, str, str] | None:
    if value == "all":
        return None
    parts = value.split("/")
    if len(parts) != 3 or not all(parts):
        raise FaultError("close_batch takes all, or TERMINAL/CURRENCY/NUMBER")
    return parts[0], parts[1], parts[2]
