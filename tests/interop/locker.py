# SPDX-License-Identifier: MIT
"""A lock of redis-py as a process, with the orders of locker.c:

    locker.py TTL_MS KEY SOCKET
"""
import random
import sys
import time

import redis
from redis.lock import Lock

PAUSE_S = 0.005  # between two increments: others have their turn


def count_once(path):
    with open(path) as file:
        number = int(file.read())
    time.sleep(0.001)
    with open(path, "r+") as file:  # in place: nobody reads it while it is empty
        file.write(f"{number + 1:09}\n")


def acquire(lock, ms):
    if ms == 0:
        return lock.acquire(blocking=False)
    return lock.acquire(blocking_timeout=ms / 1000)


def attempt(call, *arguments, **options):
    """True unless the library says that it does not hold the lock."""
    try:
        call(*arguments, **options)
    except redis.exceptions.LockError:
        return False
    return True


def count(lock, path, times, guarded):
    for made in range(times):
        if guarded and not acquire(lock, 30000):
            return made
        count_once(path)
        if guarded and not attempt(lock.release):
            return made
        time.sleep(random.uniform(0, PAUSE_S))
    return times


def answer(lock, word, rest):
    if word == "acquire":
        return "yes" if acquire(lock, int(rest[0])) else "no"
    if word == "release":
        return "ok" if attempt(lock.release) else "no"
    if word == "extend":
        longer = attempt(lock.extend, int(rest[0]) / 1000, replace_ttl=True)
        return "ok" if longer else "no"
    if word == "token":
        return lock.local.token.decode()
    if word == "count":
        return f"done {count(lock, rest[0], int(rest[1]), rest[2] == 'lock')}"
    return "what?"


def main():
    ttl_ms, key, path = sys.argv[1:]
    lock = Lock(redis.Redis(unix_socket_path=path), key, timeout=int(ttl_ms) / 1000, sleep=0.02)
    for line in sys.stdin:
        word, *rest = line.split()
        print(answer(lock, word, rest), flush=True)


main()
