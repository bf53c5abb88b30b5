# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Parts of scripts/test: the unit tests on other machines and C libraries, with the shim in place of
# cmocka.

# unit_tests NAME FLAGS CMAKE-ARGUMENTS...: builds and runs them
unit_tests() {
    local name=$1 flags=$2 before=$failed
    shift 2
    check "$name: build" build_targets "$name" unit_tests -DCMAKE_BUILD_TYPE=None \
        "-DCMAKE_C_FLAGS=-O1 $flags" -DRESPLOCK_TEST_SHIM=ON -DRESPLOCK_EXAMPLES=OFF \
        -DRESPLOCK_OPTIONAL=OFF -DRESPLOCK_CHECKS=OFF "$@"
    [ "$failed" -ne "$before" ] || run_tests "$name" "$name" "$jobs" -L unit
}

# Takes locks on the real server.
musl_locks() {
    local program=$build/musl/tests/test_lock_basics
    cmake --build "$build/musl" -j "$jobs" --target test_lock_basics || return 1
    if readelf -l "$program" | grep INTERP; then
        echo "$program is not static"
        return 1
    fi
    "$program"
}

# forks NAME RUNNER: a child of an emulated process may not use its parent's locks, on the real
# server. What the emulator makes of the system's calls is not what the system makes of them.
forks() {
    cmake --build "$build/$1" -j "$jobs" --target test_process_fork || return 1
    TEST_TIME_FACTOR=3 "$2" "$build/$1/tests/test_process_fork"
}

# A wine of its own, which downloads nothing and ends with its tests. Its server starts before them
# and stays for a minute after the last one. If it came and went with each test, a test that begins
# while another ends could find the folder of its socket gone. What the server starts stays with it,
# and must not keep open the pipe by which `check` reads the output.
wine_start() {
    mkdir -p "$WINEPREFIX"
    { wineserver -p60 && wine cmd /c exit; } >"$WINEPREFIX/log" 2>&1 || {
        cat "$WINEPREFIX/log"
        return 1
    }
}

windows() {
    local -x WINEPREFIX=$build/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
    local -x TMPDIR=$TMPDIR/wine
    mkdir "$TMPDIR"
    check "windows: wine starts" wine_start
    unit_tests windows "-Wno-format -D__USE_MINGW_ANSI_STDIO=1" -DRESPLOCK_NO_POSIX=ON \
        -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc \
        -DCMAKE_EXE_LINKER_FLAGS=-static -DRESPLOCK_TEST_RUNNER=wine
    wineserver -k || true
    rm -rf "$TMPDIR"
}

part_targets() {
    local linux=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_EXE_LINKER_FLAGS=-static)
    title "armhf: 32 bits, unsigned char"
    unit_tests armhf -D_FILE_OFFSET_BITS=64 "${linux[@]}" \
        -DCMAKE_C_COMPILER=arm-linux-gnueabihf-gcc -DRESPLOCK_TEST_RUNNER=qemu-arm
    check "armhf: the child of a fork is refused" forks armhf qemu-arm
    title "s390x: big-endian"
    unit_tests s390x "" "${linux[@]}" \
        -DCMAKE_C_COMPILER=s390x-linux-gnu-gcc -DRESPLOCK_TEST_RUNNER=qemu-s390x
    check "s390x: the child of a fork is refused" forks s390x qemu-s390x
    title "musl"
    unit_tests musl "" -DCMAKE_C_COMPILER=musl-gcc -DCMAKE_EXE_LINKER_FLAGS=-static
    check "musl: a static program takes locks" musl_locks
    title "Windows, the engine"
    windows
    title "unsigned char, the engine" # in 64 bits; plain and musl have signed char
    unit_tests unsigned-char -funsigned-char -DCMAKE_C_COMPILER=gcc -DRESPLOCK_NO_POSIX=ON
}
