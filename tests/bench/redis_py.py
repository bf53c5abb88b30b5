#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""redis-py as a contender (rounds.h has the protocol): redis_py.py PART redis-py ADDRESS"""
import queue
import random
import sys
import threading
import time

import redis


def connect(address):
    if address.startswith("/"):
        return redis.Redis(unix_socket_path=address)
    return redis.Redis(port=int(address))


class Cycle:
    """As cycle.c."""

    def __init__(self, address):
        self.lock = connect(address).lock("lock:resource", timeout=30, blocking=False)

    def run(self, case, units):
        laps = []
        last = time.monotonic_ns()
        for _ in range(units):
            if not self.lock.acquire():
                sys.exit("not acquired")
            self.lock.release()
            now = time.monotonic_ns()
            laps.append(now - last)
            last = now
        return units, laps, []


class Waiter(threading.Thread):
    """A client with a connection of its own: acquires when the main thread asks it to, and reports."""

    def __init__(self, address, holders):
        super().__init__(daemon=True)
        # released by the main thread, too; the pause between tries is redis-py's own, 0.1 s
        self.lock = connect(address).lock("lock:handoff:redis-py", timeout=30, thread_local=False)
        self.begin = threading.Semaphore(0)
        self.holders = holders
        self.start()

    def run(self):
        while True:
            self.begin.acquire()
            self.lock.acquire()
            self.holders.put((time.monotonic_ns(), self))


class Handoff:
    """As handoff.c, but with threads."""

    APART, IDLE, HOLD, HERD, PAUSE, ROUND, STUCK = 0.001, 0.02, 0.0005, 0.00004, 0.1, 0.4, 60

    def __init__(self, address):
        self.control = connect(address)
        self.holders = queue.SimpleQueue()
        self.waiters = [Waiter(address, self.holders) for _ in range(101)]
        self.random = random.Random(1)

    def commands(self):
        stats = self.control.info("commandstats")
        calls = {name: stat["calls"] for name, stat in stats.items()}
        return (sum(calls.values()) - calls.get("cmdstat_info", 0)
                - 2 * calls.get("cmdstat_evalsha", 0))

    def hand_on(self, former):
        """Who has it next, and how many ns that took."""
        begin = time.monotonic_ns()
        former.lock.release()
        at, holder = self.holders.get(timeout=self.STUCK)
        return holder, at - begin

    def run(self, case, units):
        waiters = int(case)
        hold = self.HOLD + self.HERD * waiters
        self.waiters[0].begin.release()
        _, holder = self.holders.get(timeout=self.STUCK)
        for waiter in self.waiters[1:waiters + 1]:
            waiter.begin.release()
            time.sleep(self.APART)
        time.sleep(hold)
        idle_commands, idle = self.commands(), time.monotonic_ns()
        time.sleep(self.IDLE * waiters)
        idle_commands, idle = self.commands() - idle_commands, time.monotonic_ns() - idle
        laps = []
        commands = self.commands()
        end = time.monotonic() + self.ROUND
        while len(laps) < units and time.monotonic() < end:
            time.sleep(self.random.uniform(0, self.PAUSE / waiters))
            former = holder
            holder, lap = self.hand_on(former)
            laps.append(lap)
            former.begin.release()
            time.sleep(hold)
        commands = self.commands() - commands
        drained = time.monotonic_ns()
        for _ in range(waiters):
            holder, _ = self.hand_on(holder)
        drained = time.monotonic_ns() - drained
        holder.lock.release()
        return len(laps), [], [idle_commands, idle, commands, drained, *laps]


def main():
    contender = {"cycle": Cycle, "handoff": Handoff}[sys.argv[1]](sys.argv[3])
    for line in sys.stdin:
        case, units = line.split()
        cpu = time.process_time_ns()
        wall = time.monotonic_ns()
        units, laps, notes = contender.run(case, int(units))
        wall = time.monotonic_ns() - wall
        cpu = time.process_time_ns() - cpu
        laps.sort()
        percentiles = [laps[(units - 1) * percent // 100] if laps else 0 for percent in (50, 99)]
        # one write, whatever the buffering: run.py searches it in a trace
        sys.stdout.write(" ".join(map(str, (units, wall, cpu, *percentiles, -1, *notes))) + "\n")
        sys.stdout.flush()


main()
