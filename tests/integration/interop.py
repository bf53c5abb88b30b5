# SPDX-License-Identifier: MIT
"""redis-py's Lock as a process of its own: test_interop.c sends it commands, a line at a time.

    interop.py SOCKET KEY TTL      TTL in seconds, 0: none (redis-py's default)

    acquire SECONDS     "yes" or "no"; waits at most so long, 0: one try
    release             "ok", or the name of the exception
    extend SECONDS      the same
    reacquire           the same
    owned               "yes" or "no"
    token               the token in use
    adopt TOKEN         makes it the token in use: for a release of what is another's
"""
import sys

import redis
from redis.lock import Lock


def answer(lock, word, argument):
    if word == "acquire":
        seconds = float(argument)
        if seconds == 0:
            return "yes" if lock.acquire(blocking=False) else "no"
        return "yes" if lock.acquire(blocking_timeout=seconds) else "no"
    if word == "owned":
        return "yes" if lock.owned() else "no"
    if word == "token":
        return lock.local.token.decode()
    if word == "adopt":
        lock.local.token = argument.encode()
    elif word == "release":
        lock.release()
    elif word == "extend":
        lock.extend(float(argument))
    elif word == "reacquire":
        lock.reacquire()
    else:
        return "what?"
    return "ok"


def main():
    path, key, ttl = sys.argv[1:]
    lock = Lock(redis.Redis(unix_socket_path=path), key, timeout=float(ttl) or None, sleep=0.02)
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        try:
            text = answer(lock, word, argument)
        except redis.exceptions.LockError as error:
            text = type(error).__name__
        print(text, flush=True)


main()
