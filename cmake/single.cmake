# SPDX-License-Identifier: MIT
#
# The one-file form, single/resplock.h, made of include/ and src/:
#     cmake -P cmake/single.cmake               writes it
#     cmake -DCHECK=ON -P cmake/single.cmake    fails if it is not what would be written
#
# Each file follows what it includes, and x.c its own x.h, so that everything is defined before it
# is used. The same sources make the same bytes on every machine.
cmake_minimum_required(VERSION 3.16)
get_filename_component(top "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

function(read_text result file)
    file(READ "${top}/${file}" text)
    string(REPLACE "\r\n" "\n" text "${text}")
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

# Collects text in a global property.
function(put text)
    set_property(GLOBAL APPEND_STRING PROPERTY single_text "${text}")
endfunction()

# The project's file that `file` means by #include "name".
function(locate result file name)
    get_filename_component(folder "${file}" DIRECTORY)
    foreach(candidate "${folder}/${name}" "include/${name}")
        if(EXISTS "${top}/${candidate}")
            get_filename_component(path "${top}/${candidate}" ABSOLUTE) # without ".."
            file(RELATIVE_PATH candidate "${top}" "${path}")
            set(${result} "${candidate}" PARENT_SCOPE)
            return()
        endif()
    endforeach()
    message(FATAL_ERROR "${file}: no such file: ${name}")
endfunction()

# Puts a file, unless it is there already: what it includes first, and its own source behind it.
function(put_file file)
    get_property(there GLOBAL PROPERTY single_files)
    if("${file}" IN_LIST there)
        return()
    endif()
    set_property(GLOBAL APPEND PROPERTY single_files "${file}")

    read_text(text "${file}")
    string(REGEX MATCHALL "\n#include \"[^\"]+\"" includes "${text}")
    foreach(include IN LISTS includes)
        string(REGEX REPLACE "\n#include \"(.+)\"" "\\1" name "${include}")
        locate(included "${file}" "${name}")
        put_file("${included}")
    endforeach()
    string(REGEX REPLACE "\n#include \"[^\"]+\"" "" text "${text}")

    string(REPLACE "/* SPDX-License-Identifier: MIT" "/* ==== ${file} ====" text "${text}")
    if(file MATCHES "^src/.*[.]h$")
        string(REGEX REPLACE "\n((RLKI_[A-Z_]+ )?[a-z][a-z0-9_ *]*rlki_[a-z0-9_]+[(])" "\nRLKI_API \\1" text "${text}")
        string(REPLACE "\nRLKI_API static" "\nstatic" text "${text}")
        string(REGEX REPLACE "\nextern const [^\n]*" "" text "${text}")
    elseif(file MATCHES "^src/")
        string(REGEX REPLACE "\n(const [a-z0-9_ ]*rlki_[^\n=(]*=)" "\nRLKI_API \\1" text "${text}")
    endif()
    string(REGEX REPLACE "\n\n\n+" "\n\n" text "${text}")
    put("\n${text}")

    string(REGEX REPLACE "[.]h$" ".c" source "${file}")
    if(EXISTS "${top}/${source}")
        put_file("${source}")
    endif()
endfunction()

read_text(base include/resplock/base.h)
string(REGEX REPLACE ".*RLK_VERSION_STRING \"([^\"]+)\".*" "\\1" version "${base}")
read_text(license LICENSE)
string(REGEX REPLACE "\n$" "" license "${license}")
string(REPLACE "\n" "\n * " license "${license}")
string(REPLACE " * \n" " *\n" license "${license}")

put("/* SPDX-License-Identifier: MIT
 *
 * resplock ${version} in one file: distributed locks over RESP servers (Redis, Valkey and others).
 *
 * Made by cmake/single.cmake from the sources of resplock ${version}: change those, not this.
 *
 * In one file of the program, C99 or C++17, before all other includes:
 *
 *     #define RESPLOCK_IMPLEMENTATION
 *     #include \"resplock.h\"
 *
 * In all others: #include \"resplock.h\". What else may be defined, in all of them alike, by the
 * compiler's options or before the include:
 *
 *     RESPLOCK_STATIC   each file has an implementation of its own (RESPLOCK_IMPLEMENTATION is not
 *                       needed), and every function is static: nothing can collide
 *     RLK_NO_POSIX      no sockets and no system: the engine, on ports that you serve
 *     RLK_NO_TEXT, RLK_MAX_NODES ... what config.h lists (below), and all that stands in #ifndef
 *
 * -std=c99 hides POSIX, so the implementation defines _DEFAULT_SOURCE on Linux. Where a header of
 * the system came before it, it is too late for that, and an #error says so.
 *
 * ${license}
 */

#if defined(RESPLOCK_STATIC) && !defined(RESPLOCK_IMPLEMENTATION)
#define RESPLOCK_IMPLEMENTATION
#endif
")
put_file(include/resplock/config.h)
put("
#ifdef RESPLOCK_IMPLEMENTATION

/* Linkage of what only the implementation calls. */
#ifndef RLKI_API
#ifdef __GNUC__
#define RLKI_API static __attribute__((unused))
#else
#define RLKI_API static
#endif
#endif
")
put_file(src/net/posix/features.h)
put("
#endif /* RESPLOCK_IMPLEMENTATION */

#ifndef RESPLOCK_H
#define RESPLOCK_H

#ifdef RESPLOCK_STATIC
#define RLK_API RLKI_API
#endif
")
read_text(umbrella include/resplock.h)
string(REGEX MATCHALL "\n#(include \"[^\"]+\"|ifndef RLK_NO_POSIX|endif)" lines "${umbrella}")
foreach(line IN LISTS lines)
    if(line MATCHES "#include \"(.+)\"")
        put_file("include/${CMAKE_MATCH_1}")
    elseif(line MATCHES "ifndef")
        put("\n#ifndef RLK_NO_POSIX\n")
        set(posix ON)
    elseif(posix) # its end; the others are those of the umbrella itself
        put("\n#endif /* RLK_NO_POSIX */\n")
        set(posix OFF)
    endif()
endforeach()
put("
#endif /* RESPLOCK_H */

#if defined(RESPLOCK_IMPLEMENTATION) && !defined(RESPLOCK_IMPLEMENTED)
#define RESPLOCK_IMPLEMENTED
")
function(put_sources)
    foreach(source IN LISTS ARGN)
        put_file("${source}")
    endforeach()
endfunction()

foreach(layer resp net lock)
    file(GLOB sources RELATIVE "${top}" "${top}/src/${layer}/*.c")
    list(SORT sources)
    list(REMOVE_ITEM sources src/lock/posix.c)
    put_sources(${sources})
endforeach()
put("
#ifdef RLKI_POSIX
")
file(GLOB sources RELATIVE "${top}" "${top}/src/net/posix/*.c")
list(SORT sources)
put_sources(${sources} src/lock/posix.c)
put("
#endif /* RLKI_POSIX */

#endif /* RESPLOCK_IMPLEMENTATION */
")

get_property(text GLOBAL PROPERTY single_text)
set(single "${top}/single/resplock.h")
if(CHECK)
    set(present "")
    if(EXISTS "${single}")
        read_text(present single/resplock.h)
    endif()
    if(NOT present STREQUAL text)
        message(FATAL_ERROR "single/resplock.h is not current: cmake -P cmake/single.cmake")
    endif()
else()
    file(WRITE "${single}" "${text}")
endif()
