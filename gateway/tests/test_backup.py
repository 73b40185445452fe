"""
A restore is whole or nothing, whatever ends in the middle of it.
"""

import asyncio
import gzip
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from counterfoil.cli.backup import place_of
from counterfoil.config import Configuration, DatabaseSettings
from counterfoil.outside.backup import DUMP, BackupRefused, back_up, restore
from counterfoil.store.embedded import EmbeddedPostgres
from own_postgres import connection, own_postgres

SQL = "CREATE TABLE public.cards (number text);\nCOPY public.cards FROM stdin;\n{}\\.\n"
ROWS = "".join(f"{number}\n" for number in range(1_000))
QUARANTINED = "CREATE TABLE public.quarantined ()"


def half_of(program: Path) -> None:
    """Put a gzip there that ends in the middle of the rows, as when memory is short."""
    program.write_text('#!/bin/sh\n/bin/gzip "$@" | head -n 500\nexit 1\n')
    program.chmod(0o755)


def tables(settings: Configuration) -> set[str]:
    async def asked() -> set[str]:
        linked = await connection(EmbeddedPostgres(settings.folder / "postgres"))
        try:
            rows = await linked.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {row["tablename"] for row in rows}
        finally:
            await linked.close()

    return asyncio.run(asked())


def test_f41_a_dump_that_is_not_unpacked_to_its_end_restores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a database would be in quarantine, and be believed; errors tell no rows."""
    settings = Configuration(state=str(tmp_path / "state"))
    settings.folder.mkdir()
    (tmp_path / DUMP).write_bytes(gzip.compress(SQL.format(ROWS).encode()))
    path = f"{tmp_path}:/usr/bin:/bin"
    half_of(tmp_path / "gzip")
    with own_postgres(settings.folder / "postgres"):
        monkeypatch.setenv("PATH", path)
        with pytest.raises(BackupRefused, match="not unpacked to its end"):
            restore(place_of(settings, None), tmp_path, QUARANTINED)
        nothing = tables(settings)
        (tmp_path / "gzip").unlink()
        (tmp_path / DUMP).write_bytes(gzip.compress(SQL.format("a\tsecret\n").encode()))
        with pytest.raises(BackupRefused) as refused:
            restore(place_of(settings, None), tmp_path, QUARANTINED)
        (tmp_path / DUMP).write_bytes(gzip.compress(SQL.format(ROWS).encode()))
        restore(place_of(settings, None), tmp_path, QUARANTINED)
        whole = tables(settings)

    assert nothing == set()
    assert "secret" not in str(refused.value)
    assert whole == {"cards", "quarantined"}


@pytest.mark.parametrize("place", ["before the host", "behind the question mark"])
def test_a_database_of_the_operators_own_is_backed_up_and_restored_by_its_url(
    tmp_path: Path, place: str
) -> None:
    """As DATABASE_URL says it; the password is on no command line, which everybody could read."""
    folder = tmp_path / "postgres"
    with own_postgres(folder):
        known = EmbeddedPostgres(folder).dsn_parameters()
        password = quote(known["password"], safe="")
        before, behind = (f":{password}", "") if place == "before the host" else ("", password)
        url = f"postgresql://{known['user']}{before}@/{{}}?host={quote(known['host'])}"
        url += f"&password={behind}" if behind else ""
        ours, other = (
            place_of(at(url.format(name), tmp_path), tools(folder))
            for name in (known["database"], "template1")
        )
        back_up(ours, tmp_path / "backup", FACTS, datetime.now(UTC))
        restore(other, tmp_path / "backup", QUARANTINED)

    assert known["password"] not in str(ours.address)
    assert password not in str(ours.address)
    assert (tmp_path / "backup" / DUMP).stat().st_size > 0


FACTS = {
    "mode": "test",
    "migrations": 12,
    "payments": 0,
    "newest_payment_at": None,
    "vault_keys": [],
}


def at(url: str, folder: Path) -> Configuration:
    return Configuration(state=str(folder), database=DatabaseSettings(url=url))


def tools(folder: Path) -> Path:
    return EmbeddedPostgres(folder).binaries()
