# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Parts of scripts/test: the library built in several ways, and its tests run by ctest.

# The optimisation of a build: as a user has it, and with -O1 where sanitizers make it long. -g1 is
# what a backtrace needs; it takes less to compile and link than -g.
optimisation=-O2

# configure NAME CMAKE-ARGUMENTS...: all optional parts, where the arguments say nothing else
configure() {
    local name=$1 generator=() flags="$optimisation -g1 -DNDEBUG"
    shift
    [ -e "$build/$name/CMakeCache.txt" ] || ! command -v ninja >/dev/null || generator=(-G Ninja)
    cmake -S . -B "$build/$name" "${generator[@]}" -DRESPLOCK_WERROR=ON \
        "-DCMAKE_C_FLAGS_RELWITHDEBINFO=$flags" "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=$flags" \
        -DRESPLOCK_OPTIONAL=ON "$@"
}

# build_all NAME CMAKE-ARGUMENTS...
build_all() {
    configure "$@" && cmake --build "$build/$1" -j "$jobs"
}

# build_targets NAME "TARGET..." CMAKE-ARGUMENTS...
build_targets() {
    local name=$1 targets
    read -ra targets <<<"$2"
    shift 2
    configure "$name" "$@" && cmake --build "$build/$name" -j "$jobs" --target "${targets[@]}"
}

# run_tests NAME TITLE JOBS CTEST-ARGUMENTS...: counts each test of ctest; shows the output of those
# that failed, and which took longest
run_tests() {
    local name=$1 what=$2 side_by_side=$3 log total bad test
    shift 3
    log=$build/$name/ctest.log
    (cd "$build/$name" && ctest -j "$side_by_side" --output-on-failure --no-tests=error "$@") 2>&1 |
        scripts/progress "$log" || true
    grep -vE '^ *[0-9]+/[0-9]+ Test .* Passed|^ *Start +[0-9]+: |^$|Total Test time|sec\*proc|^Test project|Label Time|tests passed, 0 tests failed' "$log" || true
    total=$(grep -cE '^ *[0-9]+/[0-9]+ Test ' "$log" || true)
    bad=0
    while IFS= read -r test; do
        bad=$((bad + 1))
        failures+=("$what: $test")
    done < <(grep -E '^ *[0-9]+/[0-9]+ Test ' "$log" | grep -vE ' Passed ' |
        sed -E 's/.*Test +#[0-9]+: ([^ ]+).*/\1/')
    if [ "$total" -eq 0 ]; then
        fail "$what: no tests ran"
        return
    fi
    passed=$((passed + total - bad))
    failed=$((failed + bad))
    echo "  $what: $((total - bad)) of $total tests passed;$(slowest "$log")"
}

# slowest LOG: the three tests that took longest
slowest() {
    sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .* ([0-9]+)\.[0-9]+ sec.*/\2 \1/p' "$1" |
        sort -rn | head -n 3 | awk '{ printf " %s %d s", $2, $1 }'
}

# build_and_test NAME CMAKE-ARGUMENTS... -- CTEST-ARGUMENTS...
build_and_test() {
    local name=$1 arguments=() before=$failed
    shift
    while [ "$1" != -- ]; do
        arguments+=("$1")
        shift
    done
    shift
    check "$name: build" build_all "$name" "${arguments[@]}"
    [ "$failed" -ne "$before" ] || run_tests "$name" "$name" "$waiting_jobs" "$@"
}

# build_labelled NAME LABELS CMAKE-ARGUMENTS... -- CTEST-ARGUMENTS...: only tests with such a label
build_labelled() {
    local name=$1 labels=$2
    shift 2
    build_and_test "$name" "-DRESPLOCK_TESTS_LABELS=$labels" "$@" -L "$labels"
}

# The build by gcc that several parts use: each says what differs.
gcc_build=(-DCMAKE_C_COMPILER=gcc -DRESPLOCK_TEST_RUNNER= -DRESPLOCK_CHECKS=ON)

part_plain() {
    title "plain: gcc"
    build_and_test gcc "${gcc_build[@]}" -- -LE 'bench|full'
}

# ---- Other compilers and forms ----

# Unit tests, and the integration tests that can differ: tests/CMakeLists.txt has the reasons.
differing='unit|builds'

part_clang() {
    title "clang"
    build_and_test clang -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        -DRESPLOCK_CHECKS=OFF -- -L "$differing"
}

# Without optional parts, as where none of their libraries is installed.
part_shared() {
    title "shared library, no optional parts"
    build_labelled shared 'builds|programs' -DCMAKE_C_COMPILER=gcc -DBUILD_SHARED_LIBS=ON \
        -DRESPLOCK_OPTIONAL=OFF -DRESPLOCK_CHECKS=OFF --
}

part_single() {
    title "one file"
    build_labelled single "$differing|programs" -DCMAKE_C_COMPILER=clang \
        -DCMAKE_CXX_COMPILER=clang++ -DRESPLOCK_SINGLE_FILE=ON -DRESPLOCK_CHECKS=OFF --
}

# switch_built NAME CMAKE-ARGUMENTS...: a library without some parts, its unit tests, and what
# test_switches asks of it on a server
switch_built() {
    local name=switch-$1 targets=unit_tests before=$failed
    shift
    case $* in
    *NO_POSIX*) ;;
    *) targets="$targets test_switches" ;;
    esac
    check "$name: build" build_targets "$name" "$targets" -DCMAKE_C_COMPILER=gcc \
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-g1 -DRESPLOCK_EXAMPLES=OFF \
        -DRESPLOCK_OPTIONAL=OFF -DRESPLOCK_CHECKS=OFF "$@"
    [ "$failed" -ne "$before" ] ||
        run_tests "$name" "$name" "$waiting_jobs" -L 'unit|switches' -LE 'posix|fuzz'
}

part_switches() {
    title "switches"
    switch_built one-node -DRESPLOCK_MAX_NODES=1
    switch_built no-text -DRESPLOCK_NO_TEXT=ON
    switch_built no-trace -DRESPLOCK_NO_TRACE=ON
    switch_built resp2 -DRESPLOCK_RESP2_ONLY=ON
    switch_built no-posix -DRESPLOCK_NO_POSIX=ON
    switch_built no-url -DRESPLOCK_NO_POSIX=ON -DRESPLOCK_NO_URL=ON
    switch_built least -DRESPLOCK_MAX_NODES=1 -DRESPLOCK_NO_TEXT=ON -DRESPLOCK_RESP2_ONLY=ON
}

# ---- Sanitizers and valgrind ----

# What the compiler warns of in code that sanitizers add to is no finding: the other builds have it.
asan_build=(-DCMAKE_C_COMPILER=gcc "-DRESPLOCK_SANITIZE=address;undefined" -DRESPLOCK_WERROR=OFF
    -DRESPLOCK_CHECKS=OFF)

part_asan() {
    local optimisation=-O1
    title "address and undefined behaviour sanitizers"
    ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
        UBSAN_OPTIONS=print_stacktrace=1 build_and_test asan "${asan_build[@]}" --
}

# A unit test of the engine has one thread, and nothing to show here.
part_tsan() {
    local optimisation=-O1
    title "thread sanitizer"
    build_labelled tsan 'threads|posix' -DCMAKE_C_COMPILER=gcc -DRESPLOCK_SANITIZE=thread \
        -DRESPLOCK_WERROR=OFF -DRESPLOCK_CHECKS=OFF -DRESPLOCK_EXAMPLES=OFF -- -LE interposing
}

# Of the build by gcc, whose tests are run by valgrind for once.
part_valgrind() {
    local before=$failed
    local runner="valgrind;-q;--error-exitcode=99;--leak-check=full"
    runner+=";--errors-for-leak-kinds=definite,indirect;--child-silent-after-fork=yes"
    title "valgrind"
    check "valgrind: build" build_all gcc "${gcc_build[@]}" "-DRESPLOCK_TEST_RUNNER=$runner"
    [ "$failed" -ne "$before" ] ||
        run_tests gcc valgrind "$((2 * jobs))" -L "$differing" -LE 'programs|full'
}
