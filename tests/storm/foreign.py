# SPDX-License-Identifier: MIT
"""redis-py's Lock as a client of a storm. It writes on the board, whose layout storm.h has:

    foreign.py BOARD-FD ARENA-OFFSET SLOT-OFFSET SOCKET TTL-MS MARGIN-MS RING
"""
import mmap
import os
import random
import struct
import sys
import time

import redis
from redis.lock import Lock

CALM, STOP = 1, 4
# words of an arena
PHASE, COUNTING, COUNTER = range(3)
# words of a slot
ACQUIRED, BUSY, ERROR, COUNTED = 0, 1, 5, 8
HEAD, TAIL, IS_OPEN, OPEN = 9, 10, 11, 12
WRITING, FDS_BEFORE, FDS_AFTER, RING_AT = 17, 20, 21, 23
CLAIM_WORDS = 4


def now_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Board:
    def __init__(self, fd, arena, slot, ring):
        self.memory = mmap.mmap(fd, 0)
        self.arena, self.slot, self.ring = arena, slot, ring

    def get(self, at):
        return struct.unpack_from("q", self.memory, at)[0]

    def set(self, at, value):
        struct.pack_into("q", self.memory, at, value)

    def phase(self):
        return self.get(self.arena + 8 * PHASE)

    def add(self, word):
        at = self.slot + 8 * word
        self.set(at, self.get(at) + 1)

    def word(self, word, value):
        self.set(self.slot + 8 * word, value)

    def begin(self, until_us, ttl_us):
        for i, value in enumerate((until_us - ttl_us, now_us(), until_us, 0)):
            self.word(OPEN + i, value)
        self.word(IS_OPEN, 1)
        self.add(ACQUIRED)

    def end(self, end_us):
        claim = [self.get(self.slot + 8 * (OPEN + i)) for i in range(CLAIM_WORDS)]
        claim[2] = min(claim[2], end_us)
        head = self.get(self.slot + 8 * HEAD)
        for i, value in enumerate(claim):
            self.word(RING_AT + head % self.ring * CLAIM_WORDS + i, value)
        self.word(IS_OPEN, 0)
        self.word(HEAD, head + 1)


def hold(board, until_us, ttl_us, margin_us):
    board.begin(until_us, ttl_us)
    counting = board.get(board.arena + 8 * COUNTING)
    counter = board.get(board.arena + 8 * COUNTER)
    time.sleep(random.uniform(0, 0.008))
    board.word(WRITING, 1)
    if counting and until_us - now_us() >= margin_us:
        board.set(board.arena + 8 * COUNTER, counter + 1)
        board.add(COUNTED)
    board.word(WRITING, 0)
    board.end(now_us())


def turn(board, lock, ttl_us, margin_us):
    until_us = now_us() + ttl_us * 99 // 100 - 2000
    try:
        if not lock.acquire(blocking=False):
            board.add(BUSY)
            return
        if now_us() < until_us:
            hold(board, until_us, ttl_us, margin_us)
        lock.release()
    except (redis.exceptions.RedisError, OSError):  # LockError is one
        lock.local.token = None
        board.add(ERROR)


def main():
    fd, arena, slot, path, ttl_ms, margin_ms, ring = sys.argv[1:]
    board = Board(int(fd), int(arena), int(slot), int(ring))
    fds = len(os.listdir("/proc/self/fd"))
    board.word(FDS_BEFORE, fds)
    client = redis.Redis(unix_socket_path=path, socket_timeout=0.4)
    lock = Lock(client, "storm", timeout=int(ttl_ms) / 1000)
    while board.phase() != STOP:
        if board.phase() == CALM:
            time.sleep(0.02)
            continue
        turn(board, lock, int(ttl_ms) * 1000, int(margin_ms) * 1000)
        time.sleep(random.uniform(0.001, 0.015))
    client.connection_pool.disconnect()
    board.word(FDS_AFTER, len(os.listdir("/proc/self/fd")))


main()
