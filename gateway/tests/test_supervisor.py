"""
The supervisor, with real processes.
"""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from counterfoil import supervised_output
from counterfoil.supervisor import Program, ProgramError, Supervisor

GATEWAY = Path(__file__).parents[1]
QUICK = (0.01,)


def program(name: str, code: str, **options: Any) -> Program:
    """A program in Python, without the time that its site packages take."""
    argv = [sys.executable, "-I", "-S", "-u", "-c", textwrap.dedent(code)]
    return Program(name=name, argv=argv, **{"restart_backoff": QUICK, **options})


def sleeper(name: str, **options: Any) -> Program:
    return Program(name=name, argv=["sleep", "1000"], **options)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(true: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_programs_start_when_those_they_come_after_are_ready(tmp_path: Path) -> None:
    """Not when they merely run: the second finds what the first made before it was ready."""
    made = tmp_path / "made"

    async def ready() -> bool:
        return made.exists()

    first = program(
        "first",
        f"import time; time.sleep(0.2); open({str(made)!r}, 'w').close(); time.sleep(60)",
        ready=ready,
    )
    second = program(
        "second",
        f"import os, time; print('found', os.path.exists({str(made)!r})); time.sleep(60)",
        after=("first",),
    )
    lines: list[tuple[str, str]] = []
    supervisor = Supervisor([first, second], on_line=lambda *line: lines.append(line))
    await supervisor.start()
    await until(lambda: lines)
    states = [status.state for status in supervisor.status()]
    await supervisor.stop()

    assert lines == [("second", "found True")]
    assert states == ["ready", "ready"]


async def test_a_probe_that_cannot_connect_is_asked_again() -> None:
    """Nobody listens yet: an OSError is an answer like False."""
    answers = iter([ConnectionRefusedError(), TimeoutError(), False, None])

    async def ready() -> bool | None:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    supervisor = Supervisor([sleeper("one", ready=ready)])
    await supervisor.start()
    await supervisor.stop()

    assert list(answers) == []


async def test_a_program_that_does_not_get_ready_in_time_stops_everything() -> None:
    """The message says who and how long."""

    async def never() -> bool:
        return False

    other = sleeper("other")
    supervisor = Supervisor([other, sleeper("slow", ready=never, ready_seconds=0.1)])
    with pytest.raises(ProgramError, match=r"slow was not ready within 0\.1 seconds"):
        await supervisor.run()

    assert [status.state for status in supervisor.status()] == ["stopped", "failed"]


async def test_a_probe_with_a_fault_of_its_own_stops_everything_and_is_passed_on() -> None:
    """Nothing hides it, and nothing is left running."""

    async def faulty() -> bool:
        raise LookupError("the probe itself failed")

    supervisor = Supervisor([sleeper("other"), sleeper("probed", ready=faulty)])
    with pytest.raises(LookupError, match="the probe itself failed"):
        await supervisor.run()

    assert [status.pid for status in supervisor.status()] == [None, None]


async def test_what_dies_is_started_again_counted_and_told() -> None:
    """Killed from outside, by whatever."""
    told: list[str] = []
    supervisor = Supervisor([sleeper("one", restart_backoff=QUICK)], on_death=told.append)
    await supervisor.start()
    first = supervisor.status()[0]
    os.kill(first.pid or 0, signal.SIGKILL)
    await until(lambda: supervisor.status()[0].restarts and supervisor.status()[0].pid)
    await until(lambda: supervisor.status()[0].state == "ready")
    second = supervisor.status()[0]
    await supervisor.stop()

    assert second.pid != first.pid
    assert second.last_exit_status == -signal.SIGKILL
    assert told == ["one was killed by SIGKILL after 0 seconds, and is started again."]


async def test_a_program_that_never_stays_stops_everything_and_its_last_words_are_told(
    tmp_path: Path,
) -> None:
    """Five early deaths in a row are no accident."""
    faulty = program(
        "faulty",
        "import sys; print('bad luck:', 13); print('on stderr', file=sys.stderr); sys.exit(3)",
        log_path=tmp_path / "faulty.log",
    )
    supervisor = Supervisor([sleeper("other"), faulty])
    with pytest.raises(ProgramError) as caught:
        await supervisor.run()

    assert "faulty died 5 times within its first 2 seconds" in str(caught.value)
    assert "status 3" in str(caught.value)
    assert "bad luck: 13\n  on stderr" in str(caught.value)
    assert str(tmp_path / "faulty.log") in str(caught.value)
    assert supervisor.status()[0].state == "stopped"


async def test_a_command_that_does_not_exist_fails_with_its_name() -> None:
    """Not with a traceback of ours."""
    missing = Program(name="missing", argv=["/no/such/program"], restart_backoff=QUICK)
    with pytest.raises(ProgramError, match="cannot run /no/such/program: No such file"):
        await Supervisor([missing]).run()


async def test_programs_stop_in_reverse_order() -> None:
    """A server outlives its clients."""
    code = """
        import signal, sys, time
        def stop(*_):
            print("stopped")
            sys.exit()
        signal.signal(signal.SIGTERM, stop)
        print("started")
        time.sleep(60)
    """
    lines: list[tuple[str, str]] = []
    programs = [program("a", code), program("b", code, after=("a",))]
    supervisor = Supervisor(programs, on_line=lambda *line: lines.append(line))
    await supervisor.start()
    await until(lambda: len(lines) == 2)
    await supervisor.stop()

    assert lines[2:] == [("b", "stopped"), ("a", "stopped")]


async def test_programs_of_one_party_stop_at_the_same_time() -> None:
    """However many gateways there are, a stop takes as long as the slowest of them."""
    code = """
        import signal, sys, time
        def stop(*_):
            print("asked")
            time.sleep(0.5)
            print("stopped")
            sys.exit()
        signal.signal(signal.SIGTERM, stop)
        print("started")
        time.sleep(60)
    """
    lines: list[tuple[str, str]] = []
    programs = [
        program("server", code),
        program("one", code, party="clients"),
        program("two", code, party="clients"),
    ]
    supervisor = Supervisor(programs, on_line=lambda *line: lines.append(line))
    await supervisor.start()
    await until(lambda: len(lines) == 3)
    await supervisor.stop()

    said = [f"{name} {line}" for name, line in lines[3:]]
    assert set(said[:2]) == {"one asked", "two asked"}
    assert set(said[2:4]) == {"one stopped", "two stopped"}
    assert said[4:] == ["server asked", "server stopped"]


async def test_whoever_ignores_its_stop_signal_is_killed_in_time() -> None:
    """`stop_seconds`, not for ever."""
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    lines: list[str] = []
    deaf = program("deaf", code, stop_seconds=0.2)
    supervisor = Supervisor([deaf], on_line=lambda _, line: lines.append(line))
    await supervisor.start()
    await until(lambda: lines)
    began = time.monotonic()
    await supervisor.stop()

    assert 0.2 <= time.monotonic() - began < 2
    assert supervisor.status()[0].last_exit_status == -signal.SIGKILL


FAMILY = """
    import os, subprocess, sys, time
    child = subprocess.Popen(["sleep", "1000"])
    apart = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(os.getpid(), child.pid, apart.pid)
    {then}
"""


@pytest.mark.parametrize("then", ["time.sleep(1000)", "time.sleep(0.3); os._exit(1)"])
async def test_grandchildren_end_with_the_program_also_when_they_have_a_session_of_their_own(
    then: str,
) -> None:
    """Also after the program itself died: its port would be taken for the next start."""
    lines: list[str] = []
    parent = program("parent", FAMILY.format(then=then), restart_backoff=(60.0,))
    supervisor = Supervisor([parent], on_line=lambda _, line: lines.append(line))
    await supervisor.start()
    await until(lambda: lines)
    family = [int(pid) for pid in lines[0].split()]
    everyone_lived = all(alive(pid) for pid in family)
    if "exit" not in then:
        await supervisor.stop()
    await until(lambda: not any(alive(pid) for pid in family))
    await supervisor.stop()

    assert everyone_lived


async def test_one_program_can_be_restarted_by_name() -> None:
    """Without a pause, and without counting as a death."""
    supervisor = Supervisor([sleeper("one"), sleeper("two")])
    await supervisor.start()
    before = supervisor.status()
    await supervisor.restart("two")
    after = supervisor.status()
    await supervisor.stop()

    assert after[0] == before[0]
    assert after[1].pid != before[1].pid
    assert after[1].state == "ready"
    assert after[1].restarts == 0


async def test_a_log_never_grows_beyond_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full file is moved aside, the oldest goes; nobody else may read them."""
    monkeypatch.setattr(supervised_output, "LOG_BYTES_MAX", 1000)
    log = tmp_path / "logs" / "talker.log"
    code = "import time\nfor n in range(500): print('line', n)\nprint('x' * 40000)\ntime.sleep(60)"
    lines: list[str] = []
    talker = program("talker", code, log_path=log)
    supervisor = Supervisor([talker], on_line=lambda _, line: lines.append(line))
    await supervisor.start()
    await until(lambda: sum(line.count("x") for line in lines) == 40000)
    await supervisor.stop()
    files = sorted(path.name for path in log.parent.iterdir())

    assert len(lines) >= 501
    assert set(files) <= {"talker.log", "talker.log.1", "talker.log.2"}
    assert "talker.log.1" in files
    assert all(path.stat().st_mode & 0o077 == 0 for path in log.parent.iterdir())


async def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """The lines that were lost are counted."""
    (tmp_path / "file").write_text("")
    lines: list[str] = []
    talker = program(
        "talker",
        "import time; print('hello'); time.sleep(60)",
        log_path=tmp_path / "file" / "talker.log",
    )
    supervisor = Supervisor([talker], on_line=lambda _, line: lines.append(line))
    await supervisor.start()
    await until(lambda: lines)
    lost = supervisor.status()[0].log_lines_lost
    await supervisor.stop()

    assert lost == 1


async def test_the_status_encodes_to_json() -> None:
    """For the state file and the page of the operator."""
    supervisor = Supervisor([sleeper("one")])
    await supervisor.start()
    encoded = msgspec.json.decode(msgspec.json.encode(supervisor.status()))
    await supervisor.stop()

    assert encoded[0]["name"] == "one"
    assert encoded[0]["state"] == "ready"
    assert datetime.fromisoformat(encoded[0]["started_at"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "programs",
    [[sleeper("one"), sleeper("one")], [sleeper("one", after=("two",)), sleeper("two")]],
)
def test_names_are_unique_and_an_order_exists(programs: list[Program]) -> None:
    """A list that contradicts itself is refused before anything starts."""
    with pytest.raises(ValueError, match="one"):
        Supervisor(programs)


async def test_the_work_is_done_when_all_are_ready_and_then_everything_stops() -> None:
    """`run` passes a failure of the work on, after it has stopped everything."""
    supervisor = Supervisor([sleeper("one")])

    async def work() -> None:
        assert supervisor.status()[0].state == "ready"
        raise LookupError("the work itself failed")

    with pytest.raises(LookupError, match="the work itself failed"):
        await supervisor.run(work)

    assert supervisor.status()[0].state == "stopped"


SUPERVISOR = """
    import asyncio, sys
    from counterfoil.supervisor import Program, Supervisor

    code = sys.argv[1]
    one = Program(name="one", argv=[sys.executable, "-I", "-S", "-u", "-c", code], stop_seconds=60)
    said = lambda _, line: print(line, flush=True)
    asyncio.run(Supervisor([one], on_line=said).run())
    print("ended")
"""
DEAF = "import signal; signal.signal(15, signal.SIG_IGN)\n"


def supervisor_of(code: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Run a supervisor in a process of its own; return it and the pids that its program said."""
    command = [sys.executable, "-c", textwrap.dedent(SUPERVISOR), textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": str(GATEWAY)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


async def test_ctrl_c_stops_everything_and_leaves_no_process() -> None:
    """Real signals to a real supervisor, with grandchildren."""
    process, family = supervisor_of(FAMILY.format(then="time.sleep(1000)"))
    everyone_lived = all(alive(pid) for pid in family)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=10)

    assert everyone_lived
    assert process.returncode == 0
    assert said == "ended\n"
    assert not any(alive(pid) for pid in family)


async def test_a_second_ctrl_c_kills_at_once() -> None:
    """Whoever does not listen to the first does not hold the terminal for a minute."""
    process, family = supervisor_of(DEAF + textwrap.dedent(FAMILY.format(then="time.sleep(1000)")))
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.3)
    still_there = alive(family[0])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)

    assert still_there
    assert process.returncode == 0
    assert not any(alive(pid) for pid in family)


async def test_programs_die_with_a_supervisor_that_is_killed() -> None:
    """The kernel ends them: nobody else is left to."""
    process, (pid,) = supervisor_of(DEAF + "import os, time; print(os.getpid()); time.sleep(1000)")
    process.kill()
    process.communicate()
    await until(lambda: not alive(pid))


async def test_what_no_restart_mends_is_tried_once(tmp_path: Path) -> None:
    """A program that refuses before it was ever ready; one that had served is started again."""
    tries = tmp_path / "tries"
    code = f"""
        import sys
        open({str(tries)!r}, "a").write("x")
        print("there is no room for a new database")
        sys.exit(2)
    """

    async def never() -> bool:
        return False

    supervisor = Supervisor([program("database", code, final_status=2, ready=never)])
    with pytest.raises(ProgramError, match=r"cannot run.*\n.*there is no room"):
        await supervisor.run()
    once = tries.read_text()
    supervisor = Supervisor([program("database", code, final_status=2)])
    with pytest.raises(ProgramError, match="died 5 times"):
        await supervisor.run()

    assert once == "x"
    assert len(tries.read_text()) > 2
