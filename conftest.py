"""
What a test needs is marked, so that `make unit` runs those that need nothing but Python; and those
that share an installation stay in one lane.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

NEEDS_DATABASE = "server"  # The fixture from which every database of the tests comes.
# Each folder has installations for all its tests: they are started once, and not in every lane.
SHARING = ("tests/contract/", "tests/pages/", "tests/path/")
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


class Lanes(LoadScopeScheduling):
    """Tests that share an installation run in one lane, one after the other; of others, a module's.

    pytest-xdist's groups would do as well, but pytest 9.2 does not let it name them.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return next((each for each in SHARING if module.startswith(each)), module)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Share the tests out between lanes, in the order in which they are written."""
    config.option.loadscopereorder = False
    return Lanes(config, log)
