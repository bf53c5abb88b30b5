# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Parts of scripts/test: checks that are tests of the build by gcc (tests/checks.cmake).

# checked TITLE CTEST-ARGUMENTS...
checked() {
    local what=$1 before=$failed
    shift
    title "$what"
    check "$what: build" build_all gcc "${gcc_build[@]}" -DRESPLOCK_CHECKS=ALL -DRESPLOCK_BENCH=ON
    [ "$failed" -ne "$before" ] || run_tests gcc "$what" "$jobs" "$@"
}

part_checks() {
    checked checks -L 'full|format' -LE 'sizes|packaging'
}

part_sizes() {
    checked sizes -L sizes
}

part_packaging() {
    checked packaging -L packaging
}

part_bench() {
    checked bench -L bench
}
