"""
What a test needs is marked, so that `make unit` runs those that need nothing but Python.
"""

import pytest

NEEDS_DATABASE = "server"  # The fixture from which every database of the tests comes.
# Modules whose tests start programs, and wait for them.
START_PROGRAMS = {
    "client/tests/test_clients.py",
    "client/tests/test_crashes.py",
    "client/tests/test_journal.py",
    "gateway/tests/test_app.py",
    "gateway/tests/test_backup.py",
    "gateway/tests/test_database_troubles.py",
    "gateway/tests/test_embedded_postgres.py",
    "gateway/tests/test_iso8583_cli.py",
    "gateway/tests/test_link_deadlines.py",
    "gateway/tests/test_logs.py",
    "gateway/tests/test_mail.py",
    "gateway/tests/test_pdf.py",
    "gateway/tests/test_state_folder.py",
    "gateway/tests/test_supervisor.py",
    "gateway/tests/test_tracks.py",
    "proof/tests/test_bench.py",
    "proof/tests/test_chaos.py",
    "proof/tests/test_mailbox_process.py",
    "proof/tests/test_matrix.py",
    "proof/tests/test_migration_deaths.py",
    "proof/tests/test_points.py",
    "proof/tests/test_recovery.py",
    "proof/tests/test_world.py",
    "rail/tests/test_business_day.py",
    "rail/tests/test_process.py",
    "shop/tests/test_command.py",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test for which PostgreSQL or another program is started."""
    for item in items:
        if NEEDS_DATABASE in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.database)
        if item.path.relative_to(config.rootpath).as_posix() in START_PROGRAMS:
            item.add_marker(pytest.mark.programs)
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.properties)
