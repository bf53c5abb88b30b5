# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Parts of scripts/test: checks that are tests of ctest (tests/checks.cmake), and the benchmarks.

# checked PART CTEST-ARGUMENTS...: by scripts that need no build of the library; so none is made
checked() {
    local what=$1 before=$failed
    shift
    title "$what"
    check "$what: configured" configure "$what" -DCMAKE_C_COMPILER=gcc -DRESPLOCK_CHECKS=ALL
    [ "$failed" -ne "$before" ] || run_tests "$what" "$what" "$jobs" "$@"
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
    local before=$failed
    title "bench"
    check "bench: build" build_all gcc "${gcc_build[@]}" -DRESPLOCK_BENCH=ON
    [ "$failed" -ne "$before" ] || run_tests gcc bench "$jobs" -L bench
}
