"""
What befalls processes and machines on a simulated day, besides the weather.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from counterfoil_proof.world.acquirer import Acquirer
from counterfoil_proof.world.processes import Machine
from counterfoil_proof.world.shop import Shop
from counterfoil_proof.world.world import World

CLOCK_STEPS = (-3600.0, -30.0, -2.0, 0.7, 2.0, 30.0, 3600.0)
RAIL_FAULTS = (
    ("silent", "2:booked"),
    ("silent", "2:unbooked"),
    ("late_answer_seconds", "12:2"),
    ("late_answer_seconds", "40:2"),
    ("drop_link_after_booking", "1"),
    ("duplicate_answer", "3"),
    ("wrong_stan_answer", "1"),
    ("decline_reversals", "2"),
    ("decline_reversals", "2:25"),
    ("silent_to_reversals", "2"),
    ("no_echo", "2"),
    ("close_out_of_balance", "3"),  # After the upload, too: a person is needed, and uploads again.
    ("silent_to_close", "4"),  # As often as it is asked: a person is needed.
)


async def process_dies(world: World, chance: Random) -> None:
    """
    A gateway, worker or acquirer is killed, and is back after a while.
    """
    victims = [each for each in world.machines if each.is_up]
    mortal: list[Machine | Acquirer] = [*victims, world.acquirer]
    victim = chance.choice(mortal)
    world.crash(victim)
    await _back(world, chance)


async def shop_dies(world: World, chance: Random) -> None:
    """
    A shop is killed in the middle of everything; now and then it never returns.
    """
    here = [each for each in world.shops if each.is_up]
    if not here:
        return
    victim: Shop = chance.choice(here)
    world.crash(victim)
    if len(here) > 1 and chance.random() < 0.1:
        victim.has_left = True
        world.story.count("shop that never returns")
    await _back(world, chance)


async def everything_dies(world: World, chance: Random) -> None:
    """
    The power fails: gateways, workers and database at once.
    """
    world.story.tell("power", "fails")
    world.story.count("power cut")
    world.store.is_down = True
    for machine in world.machines:
        if machine.is_up:
            world.crash(machine)
    await asyncio.sleep(chance.uniform(1.0, 30.0))
    world.store.is_down = False
    await _back(world, chance)


async def process_freezes(world: World, chance: Random) -> None:
    """
    A process stands still and goes on as if nothing had been.
    """
    running = [each for each in world.machines if each.is_up]
    if not running:
        return
    machine: Machine = chance.choice(running)
    life = machine.life
    assert life is not None
    world.story.tell(life, "freezes")
    world.story.count("freeze")
    life.freeze()
    await asyncio.sleep(chance.uniform(1.0, 60.0))
    world.story.tell(life, "thaws")
    life.thaw()


async def deployment(world: World, chance: Random) -> None:
    """
    A process is stopped in good order in the middle of the traffic, and started again.
    """
    running = [each for each in world.machines if each.is_up]
    if not running:
        return
    machine = chance.choice(running)
    world.story.tell(machine.name, "is stopped")
    world.story.count("deployment")
    await machine.stop()
    await _back(world, chance)


async def database_restarts(world: World, chance: Random) -> None:
    """
    The database is gone for a while.
    """
    world.story.tell("database", "is gone")
    world.story.count("database away")
    world.store.is_down = True
    await asyncio.sleep(chance.uniform(0.2, 30.0))
    world.story.tell("database", "is back")
    world.store.is_down = False


async def network_is_cut(world: World, chance: Random) -> None:
    """
    Nothing reaches the acquirer for a while; the connections may even seem to stand.
    """
    world.story.tell("network", "is cut")
    world.story.count("network cut")
    world.network.is_cut = True
    if chance.random() < 0.5:
        world.network.reset_all()
    await asyncio.sleep(chance.uniform(1.0, 60.0))
    world.network.is_cut = False
    world.story.tell("network", "is whole")


async def clock_steps(world: World, chance: Random) -> None:
    """
    A machine's wall clock jumps, and is put right later.
    """
    machine = chance.choice(world.machines)
    step = chance.choice(CLOCK_STEPS)
    world.story.tell(machine.name, f"clock steps by {step:+g} s")
    world.story.count("clock step")
    machine.clock.step_to(machine.clock.off_seconds + step)
    world.clock_ahead_seconds = max(world.clock_ahead_seconds, machine.clock.off_seconds)
    await asyncio.sleep(chance.uniform(5.0, 60.0))
    machine.clock.step_to(0.0)


async def acquirer_misbehaves(world: World, chance: Random) -> None:
    """
    The acquirer's host makes one of its own mistakes.
    """
    name, value = chance.choice(RAIL_FAULTS)
    if world.acquirer.rail is not None:
        world.story.tell("rail", f"misbehaves: {name}={value}")
        world.story.count("acquirer misbehaves")
        world.acquirer.rail.faults.set(name, value)


Trouble = Callable[[World, Random], Awaitable[None]]

TROUBLES: tuple[tuple[Trouble, int], ...] = (
    (process_dies, 8),
    (shop_dies, 4),
    (everything_dies, 1),
    (process_freezes, 3),
    (deployment, 2),
    (database_restarts, 3),
    (network_is_cut, 2),
    (clock_steps, 1),
    (acquirer_misbehaves, 6),
)


def trouble(chance: Random) -> Trouble:
    """
    Draw the next trouble.
    """
    troubles, weights = zip(*TROUBLES, strict=True)
    drawn: Trouble = chance.choices(troubles, weights)[0]
    return drawn


async def _back(world: World, chance: Random) -> None:
    await asyncio.sleep(chance.uniform(0.1, 20.0))
    world.keep_alive()
