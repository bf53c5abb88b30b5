# SPDX-License-Identifier: MIT
"""redis-py's Lock as a process that holds it: for tests of who is notified of its release.

    holder.py SOCKET KEY TTL      TTL in seconds, 0: none (redis-py's default)

Prints "held" when it has it, and releases at SIGUSR1.
"""
import signal
import sys

import redis
from redis.lock import Lock


def main():
    path, key, ttl = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    lock = Lock(redis.Redis(unix_socket_path=path), key, timeout=float(ttl) or None)
    lock.acquire()
    print("held", flush=True)
    signal.sigwait([signal.SIGUSR1])
    lock.release()
    print("released", flush=True)


main()
