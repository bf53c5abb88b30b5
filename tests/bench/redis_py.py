#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""redis-py as a contender (rounds.h has the protocol): redis_py.py cycle redis-py ADDRESS"""
import sys
import time

import redis


def main():
    address = sys.argv[3]
    if address.startswith("/"):
        client = redis.Redis(unix_socket_path=address)
    else:
        client = redis.Redis(port=int(address))
    lock = client.lock("lock:resource", timeout=30, blocking=False)
    for line in sys.stdin:
        units = int(line.split()[1])
        laps = []
        cpu = time.process_time_ns()
        wall = last = time.monotonic_ns()
        for _ in range(units):
            if not lock.acquire():
                sys.exit("not acquired")
            lock.release()
            now = time.monotonic_ns()
            laps.append(now - last)
            last = now
        wall = time.monotonic_ns() - wall
        cpu = time.process_time_ns() - cpu
        laps.sort()
        p50, p99 = (laps[(units - 1) * percent // 100] for percent in (50, 99))
        # one write, whatever the buffering: run.py looks for it in a trace
        sys.stdout.write(f"{units} {wall} {cpu} {p50} {p99} -1\n")
        sys.stdout.flush()


main()
