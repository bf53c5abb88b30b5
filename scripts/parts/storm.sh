# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Part of scripts/test: clients and servers under random harm, judged by a referee.

part_storm() {
    title "storm, $storm_seconds s"
    check "clients that cheat are found" env RESPLOCK_BUILD_DIR="$build" scripts/storm --self-test
    check "storm" env RESPLOCK_BUILD_DIR="$build" scripts/storm --seconds "$storm_seconds" \
        --seed "$storm_seed"
}
