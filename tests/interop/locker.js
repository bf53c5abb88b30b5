// SPDX-License-Identifier: MIT
//
// A lock of an npm library as a process, with the orders of locker.c:
//     node locker.js redlock|redlock5|mutex|redlock-mutex TTL_MS KEY SOCKET...
// redlock is its last release, redlock5 the beta that many use; mutex and redlock-mutex are those of
// redis-semaphore, which puts "mutex:" before its keys: KEY must begin with that.
'use strict';

const fs = require('fs');
const readline = require('readline');
const Redis = require('ioredis');

const RETRY_MS = 20;
const PAUSE_MS = 5; // between two increments: others have their turn
const [library, ttlText, key, ...sockets] = process.argv.slice(2);
const ttlMs = Number(ttlText);
const clients = sockets.map((path) => {
    const client = new Redis({
        path,
        maxRetriesPerRequest: 0, // a node that is down is an error, not a wait
        retryStrategy: () => 50,
    });
    client.on('error', () => {});
    return client;
});

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Each has: acquire(ms) -> bool, release() -> bool, extend(ms) -> bool, token().
function byRedlock(Redlock) {
    const redlock = new Redlock(clients, { retryCount: 0 });
    let lock;
    redlock.on('error', () => {});
    redlock.on('clientError', () => {});
    return {
        // Its own retries are not used: on a quorum the beta does not undo an attempt before the
        // next, so two of them would refuse each other until their TTL ends.
        async acquire(ms) {
            const end = Date.now() + ms;
            for (;;) {
                try {
                    lock = await redlock.acquire([key], ttlMs);
                    return true;
                } catch (error) {
                    if (Date.now() >= end)
                        return false;
                }
                await sleep(RETRY_MS * (0.5 + Math.random()));
            }
        },
        release: () => redlock.release(lock).then(() => true, () => false),
        extend: (ms) =>
            redlock.extend(lock, ms).then((longer) => {
                lock = longer;
                return true;
            }, () => false),
        token: () => lock.value,
    };
}

function byMutex(Mutex, over) {
    const name = key.replace(/^mutex:/, '');
    let mutex;
    const create = (options) =>
        new Mutex(over, name, { lockTimeout: ttlMs, refreshInterval: 0, retryInterval: RETRY_MS,
                                onLockLost: () => {}, ...options });
    return {
        acquire(ms) {
            // its time counts from before the first attempt, so 0 would be none
            mutex = create(ms === 0 ? { acquireAttemptsLimit: 1 } : { acquireTimeout: ms });
            return mutex.tryAcquire();
        },
        async release() {
            const before = mutex.isAcquired;
            await mutex.release();
            return before;
        },
        // by its own refresh, of an instance that has the token
        async extend(ms) {
            mutex = create({ lockTimeout: ms, identifier: mutex.identifier,
                             acquiredExternally: true });
            return mutex.tryAcquire();
        },
        token: () => mutex.identifier,
    };
}

function open() {
    switch (library) {
    case 'redlock':
        return byRedlock(require('redlock'));
    case 'redlock5':
        return byRedlock(require('redlock5').default);
    case 'mutex':
        return byMutex(require('redis-semaphore').Mutex, clients[0]);
    case 'redlock-mutex':
        return byMutex(require('redis-semaphore').RedlockMutex, clients);
    default:
        throw new Error(`no such library: ${library}`);
    }
}

async function countOnce(file) {
    const number = Number(fs.readFileSync(file, 'utf8'));
    await sleep(1);
    const text = `${String(number + 1).padStart(9, '0')}\n`;
    fs.writeFileSync(file, text, { flag: 'r+' }); // in place: nobody reads it while it is empty
}

async function count(lock, file, times, guarded) {
    let made = 0;
    for (; made < times; made++) {
        if (guarded && !(await lock.acquire(30000)))
            break;
        await countOnce(file);
        if (guarded && !(await lock.release()))
            break;
        await sleep(Math.random() * PAUSE_MS);
    }
    return made;
}

async function answer(lock, [word, first, second, third]) {
    switch (word) {
    case 'acquire':
        return (await lock.acquire(Number(first))) ? 'yes' : 'no';
    case 'release':
        return (await lock.release()) ? 'ok' : 'no';
    case 'extend':
        return (await lock.extend(Number(first))) ? 'ok' : 'no';
    case 'token':
        return lock.token();
    case 'count':
        return `done ${await count(lock, first, Number(second), third === 'lock')}`;
    default:
        return 'what?';
    }
}

async function main() {
    const lock = open();
    for await (const line of readline.createInterface({ input: process.stdin })) {
        let text;
        try {
            text = await answer(lock, line.trim().split(' '));
        } catch (error) {
            text = `error: ${error}`;
        }
        process.stdout.write(`${text}\n`);
    }
    clients.forEach((client) => client.disconnect());
}

main();
