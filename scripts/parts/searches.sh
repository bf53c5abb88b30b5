# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Parts of scripts/test that search: random histories, planted bugs, branches that no test takes,
# fuzzing.

# sim BUILD PROFILE HISTORIES OPTIONS...: prints its last lines, speed and findings; all of its output
# when it fails
sim() {
    local name=$1 profile=$2 number=$3 log
    shift 3
    log=$(mktemp)
    if "$build/$name/tests/sim" --profile "$profile" --jobs "$jobs" \
        --seeds "$first_seed..$((first_seed + number - 1))" "$@" 2>&1 |
        scripts/progress "$log"; then
        grep "^$profile: " "$log"
        pass "$name: $profile"
    else
        cat "$log"
        fail "$name: $profile"
    fi
    rm -f "$log"
}

part_sim() {
    local before=$failed profile twentieth=$((histories / 20 + 2)) all_met=() seed
    title "simulator, $histories histories"
    # As one program, by which a fifth of the time is saved. Warnings that this adds are no findings.
    optimisation="-O3 -flto=$jobs" check "sim: build" build_targets sim sim -DCMAKE_C_COMPILER=gcc \
        -DCMAKE_AR="$(command -v gcc-ar)" -DCMAKE_RANLIB="$(command -v gcc-ranlib)" \
        -DRESPLOCK_WERROR=OFF -DRESPLOCK_EXAMPLES=OFF -DRESPLOCK_OPTIONAL=OFF -DRESPLOCK_CHECKS=OFF
    check "gcc: build" build_targets gcc unit_tests "${gcc_build[@]}"
    optimisation=-O1 check "asan: build" build_targets asan sim "${asan_build[@]}"
    [ "$failed" -eq "$before" ] || return 0
    # The rarest state decisions come once in twenty histories.
    [ "$histories" -lt 1000 ] || all_met+=(--all-met)
    sim sim standard "$histories" "${all_met[@]}"
    sim asan standard "$twentieth"
    for profile in calm network servers processes pushes endless unfenced; do
        sim sim "$profile" "$twentieth"
    done
    sim sim shares $((twentieth / 10 + 2)) # long ones
    for profile in drift lossy-restart rolling-restarts old-data failover clock-jump eviction deaf \
        node-lists; do
        sim sim "$profile" 500
    done
    for ((seed = first_seed; seed < first_seed + 5; seed++)); do
        TEST_RANDOM=$seed run_tests gcc "gcc: unit tests, random numbers $seed" "$jobs" -L unit \
            -LE 'posix|fuzz|interposing'
    done
}

part_mutants() {
    title "planted bugs"
    if RESPLOCK_BUILD_DIR=$build scripts/mutants; then
        pass "planted bugs are caught"
    else
        fail "planted bugs are caught"
    fi
}

part_coverage() {
    title "coverage"
    check "branches of the engine, but those that tests/README.md lists" \
        env RESPLOCK_BUILD_DIR="$build" scripts/coverage --check
}

# cpu_seconds PROCESS: that it has used; fails if it has ended
cpu_seconds() {
    local fields
    read -r -a fields <"/proc/$1/stat" || return 1
    echo $(((fields[13] + fields[14]) / $(getconf CLK_TCK)))
} 2>/dev/null

# fuzz_one FUZZER SECONDS: of a processor, however many processes share it. If nothing here is left to
# end the fuzzer, it ends itself.
fuzz_one() {
    local fuzzer=$1 seconds=$2 work=$build/fuzz/$1 process used status=0 interrupted=72
    mkdir -p "$work/corpus" "$work/findings"
    "$build/fuzz/tests/$fuzzer" -max_total_time=$((20 * seconds)) -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$work/findings/" "$work/corpus" "tests/fuzz/seeds/${fuzzer#fuzz_}" \
        >"$work/log" 2>&1 &
    process=$!
    while used=$(cpu_seconds $process) && [ "$used" -lt "$seconds" ]; do
        sleep 0.5
    done
    kill -TERM $process 2>/dev/null || true
    wait $process || status=$?
    [ $status -eq 0 ] || [ $status -eq $interrupted ]
}

# As many fuzzers at a time as there are processors, each for its share of the seconds.
part_fuzz() {
    local fuzzers=() fuzzer source before=$failed seconds
    title "fuzzing, $fuzz_seconds s of processors"
    for source in tests/fuzz/fuzz_*.c; do
        fuzzers+=("$(basename "$source" .c)")
    done
    check "fuzz: build" build_targets fuzz fuzzers -DCMAKE_C_COMPILER=clang \
        -DRESPLOCK_EXAMPLES=OFF -DRESPLOCK_OPTIONAL=OFF -DRESPLOCK_CHECKS=OFF
    [ "$failed" -eq "$before" ] || return 0
    seconds=$((fuzz_seconds / ${#fuzzers[@]} + 1))
    for fuzzer in "${fuzzers[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
            wait -n || true
        done
        echo "    $fuzzer, $seconds s"
        rm -f "$build/fuzz/$fuzzer.passed"
        { fuzz_one "$fuzzer" "$seconds" && touch "$build/fuzz/$fuzzer.passed"; } &
    done
    wait
    for fuzzer in "${fuzzers[@]}"; do
        if [ -e "$build/fuzz/$fuzzer.passed" ]; then
            pass "$fuzzer"
        else
            cat "$build/fuzz/$fuzzer/log"
            fail "$fuzzer"
        fi
    done
}
