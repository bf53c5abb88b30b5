# SPDX-License-Identifier: MIT
# The checks of the sources, the pages and the packages, as tests. Labels:
#     check       all of them
#     full        takes long, or needs more than `scripts/test` installs: not part of its quick run
#     sizes       tables of flash, memory and stack
#     packaging   programs built against the library in each way of getting it
# A check whose TOOLS are missing is left out; with RESPLOCK_CHECKS=ALL that is an error.

# resplock_check(NAME [FULL] COMMAND... [TOOLS PROGRAM...] [LABEL LABEL])
function(resplock_check name)
    cmake_parse_arguments(PARSE_ARGV 1 check "FULL" "LABEL" "COMMAND;TOOLS")
    foreach(tool IN LISTS check_TOOLS)
        string(MAKE_C_IDENTIFIER "RESPLOCK_TOOL_${tool}" found)
        find_program(${found} ${tool})
        mark_as_advanced(${found})
        if(NOT ${found} AND RESPLOCK_CHECKS STREQUAL "ALL")
            message(FATAL_ERROR "${tool} is missing: scripts/install-deps all")
        elseif(NOT ${found})
            message(STATUS "${name} is left out: ${tool} is missing")
            return()
        endif()
    endforeach()
    set(labels check ${check_LABEL})
    if(check_FULL)
        list(APPEND labels full)
    endif()
    add_test(NAME ${name} COMMAND ${check_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT 900)
endfunction()

set(scripts ${PROJECT_SOURCE_DIR}/scripts)

# Within seconds, by what a plain run has.
resplock_check(check_includes COMMAND ${scripts}/check-includes)
resplock_check(check_arrows COMMAND ${scripts}/check-arrows)
resplock_check(check_docs COMMAND ${scripts}/check-docs)
resplock_check(check_pictures COMMAND ${scripts}/pictures --check)
resplock_check(check_licence COMMAND ${scripts}/check-sources licence)
resplock_check(check_headers COMMAND ${scripts}/check-sources headers)
resplock_check(check_symbols COMMAND ${scripts}/check-symbols)
resplock_check(check_arguments COMMAND ${scripts}/check-arguments)
resplock_check(check_single_current
    COMMAND ${CMAKE_COMMAND} -DCHECK=ON -P ${PROJECT_SOURCE_DIR}/cmake/single.cmake)
resplock_check(check_single_self_test COMMAND ${scripts}/check-single --self-test)
resplock_check(check_format COMMAND ${scripts}/check-sources format TOOLS clang-format LABEL format)

resplock_check(check_includes_self_test FULL COMMAND ${scripts}/check-includes --self-test)
resplock_check(check_arrows_self_test FULL COMMAND ${scripts}/check-arrows --self-test)
resplock_check(check_docs_self_test FULL COMMAND ${scripts}/check-docs --self-test)
resplock_check(check_pictures_self_test FULL COMMAND ${scripts}/pictures --self-test)
resplock_check(check_english FULL COMMAND ${scripts}/check-english TOOLS codespell)
resplock_check(check_english_self_test FULL
    COMMAND ${scripts}/check-english --self-test TOOLS codespell)
resplock_check(check_shell FULL COMMAND ${scripts}/check-sources shell TOOLS shellcheck)
resplock_check(check_refusals FULL COMMAND ${scripts}/check-refusals
    TOOLS clang arm-none-eabi-gcc x86_64-w64-mingw32-gcc)
resplock_check(check_refusals_self_test FULL COMMAND ${scripts}/check-refusals --self-test)
resplock_check(check_style FULL COMMAND ${scripts}/check-style TOOLS clang-query)
resplock_check(check_style_self_test FULL COMMAND ${scripts}/check-style --self-test
    TOOLS clang-query)
resplock_check(check_tidy FULL COMMAND ${scripts}/check-tidy TOOLS clang-tidy)
resplock_check(check_headers_clang FULL
    COMMAND ${scripts}/check-sources headers clang TOOLS clang++)
resplock_check(check_single FULL COMMAND ${scripts}/check-single TOOLS clang++)
resplock_check(check_symbols_arm FULL COMMAND ${scripts}/check-symbols --arm
    TOOLS arm-none-eabi-gcc)
resplock_check(hops FULL COMMAND ${scripts}/hops --check)
resplock_check(hops_self_test FULL COMMAND ${scripts}/hops --self-test)
resplock_check(check_trace FULL COMMAND ${scripts}/check-trace)
resplock_check(check_trace_self_test FULL COMMAND ${scripts}/check-trace --self-test)

resplock_check(sizes FULL COMMAND ${scripts}/sizes --check
    TOOLS arm-none-eabi-gcc arm-linux-gnueabihf-gcc LABEL sizes)
resplock_check(sizes_self_test FULL COMMAND ${scripts}/sizes --self-test
    TOOLS arm-none-eabi-gcc arm-linux-gnueabihf-gcc LABEL sizes)

# Each builds by CMake and takes a lock on a server of its own.
execute_process(COMMAND ${scripts}/check-packaging --list
    OUTPUT_VARIABLE ways OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "\n" ";" ways "${ways}")
foreach(way IN LISTS ways)
    resplock_check(packaging_${way} FULL COMMAND ${scripts}/check-packaging ${way}
        TOOLS git pkg-config arm-none-eabi-gcc LABEL packaging)
endforeach()
