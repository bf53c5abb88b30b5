# SPDX-License-Identifier: MIT
# The optional parts beside the library: one header and at most one source each, by public headers of
# the library only. This is the list of them. Each is a target resplock::NAME of its own, where what it
# needs is found; nothing of the library links to it. It is installed with a component NAME for
# find_package(resplock COMPONENTS NAME) and with resplock-NAME.pc for pkg-config.

set(RESPLOCK_OPTIONAL "${resplock_optional_default}" CACHE STRING
    "Optional parts for which RESPLOCK_WITH_<PART> has no value: AUTO (what they need is there), ON or OFF")
set_property(CACHE RESPLOCK_OPTIONAL PROPERTY STRINGS AUTO ON OFF)

include(cmake/resplockNeeds.cmake)
include(CheckCSourceCompiles)

set(resplock_parts) # those that are built

# resplock_optional(NAME TEXT HEADER HEADER [SOURCE SOURCE] NEEDS...): declares a part. NEEDS are
# those of resplock_find_needs. A part without a source is headers only.
function(resplock_optional name text)
    cmake_parse_arguments(PARSE_ARGV 2 part "" "HEADER;SOURCE" "")
    set(needs ${part_UNPARSED_ARGUMENTS})
    set_property(GLOBAL PROPERTY resplock_part_of_${part_HEADER} ${name})

    string(TOUPPER ${name} option)
    set(option RESPLOCK_WITH_${option})
    if(NOT DEFINED ${option}) # a parent's plain variable would be hidden by the cache's
        set(${option} "" CACHE STRING "${text}: AUTO, ON, OFF; empty: as RESPLOCK_OPTIONAL")
        set_property(CACHE ${option} PROPERTY STRINGS "" AUTO ON OFF)
    endif()
    set(wanted ${${option}})
    if("${wanted}" STREQUAL "")
        set(wanted ${RESPLOCK_OPTIONAL})
    endif()
    string(TOUPPER "${wanted}" wanted)
    if(NOT wanted MATCHES "^(AUTO|ON|OFF|1|0|TRUE|FALSE|YES|NO)$")
        message(FATAL_ERROR "${option} must be AUTO, ON or OFF, not \"${wanted}\"")
    endif()
    if(NOT wanted)
        return()
    endif()
    set(missing)
    if(RESPLOCK_NO_POSIX)
        set(missing "RESPLOCK_NO_POSIX is set")
    else()
        resplock_needs_that_compile(${name} missing ${needs})
    endif()
    if(missing AND NOT wanted STREQUAL "AUTO")
        message(FATAL_ERROR "resplock::${name} (${option}=ON): ${missing}")
    elseif(missing)
        if(NOT RESPLOCK_NO_POSIX) # which needs no word for each part
            message(STATUS "resplock::${name} is left out: ${missing}")
        endif()
        return()
    endif()

    # Behind the folders of resplock, which have the limits of this build.
    set(folders $<BUILD_INTERFACE:$<TARGET_PROPERTY:resplock,INTERFACE_INCLUDE_DIRECTORIES>>
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
    if(part_SOURCE)
        # Always static.
        add_library(resplock_${name} STATIC ${part_SOURCE})
        target_include_directories(resplock_${name} PUBLIC ${folders})
        target_link_libraries(resplock_${name} PUBLIC resplock resplock::needs_${name})
        target_compile_options(resplock_${name} PRIVATE
            $<TARGET_PROPERTY:resplock_flags,INTERFACE_COMPILE_OPTIONS>)
        set_target_properties(resplock_${name} PROPERTIES
            C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF UNITY_BUILD OFF
            C_VISIBILITY_PRESET hidden
            POSITION_INDEPENDENT_CODE ${resplock_shared_libs})
    else()
        add_library(resplock_${name} INTERFACE)
        target_include_directories(resplock_${name} INTERFACE ${folders})
        target_link_libraries(resplock_${name} INTERFACE resplock resplock::needs_${name})
    endif()
    set_target_properties(resplock_${name} PROPERTIES EXPORT_NAME ${name})
    add_library(resplock::${name} ALIAS resplock_${name})

    # For install.cmake.
    set(resplock_parts ${resplock_parts} ${name} PARENT_SCOPE)
    set(resplock_part_${name}_text "${text}" PARENT_SCOPE)
    set(resplock_part_${name}_header "${part_HEADER}" PARENT_SCOPE)
    set(resplock_part_${name}_source "${part_SOURCE}" PARENT_SCOPE)
    set(resplock_part_${name}_needs "${needs}" PARENT_SCOPE)
endfunction()

# Finds what a part needs, and whether this compiler takes it: pkg-config may mean another machine's.
# Sets `result` to a text if not.
function(resplock_needs_that_compile name result)
    cmake_parse_arguments(PARSE_ARGV 2 needs "THREADS" "" "TARGET;PACKAGE;PKG_CONFIG;INCLUDE;LIBRARIES")
    resplock_find_needs(${name} GLOBAL ${ARGN})
    string(REPLACE ";" ", " text "${needs_PKG_CONFIG};${needs_INCLUDE}")
    string(REGEX REPLACE "^, " "" text "${text}")
    if(needs_THREADS AND NOT text)
        set(text "POSIX threads")
    endif()
    if(NOT TARGET resplock::needs_${name})
        set(${result} "${text}: not found" PARENT_SCOPE)
    elseif(needs_INCLUDE)
        set(source "int main(void) { return 0; }")
        foreach(header IN LISTS needs_INCLUDE)
            string(PREPEND source "#include <${header}>\n")
        endforeach()
        set(CMAKE_REQUIRED_LIBRARIES resplock::needs_${name})
        set(CMAKE_REQUIRED_QUIET ON)
        check_c_source_compiles("${source}" RESPLOCK_COMPILES_${name})
        if(NOT RESPLOCK_COMPILES_${name})
            set(${result} "${text}: does not compile" PARENT_SCOPE)
            unset(RESPLOCK_COMPILES_${name} CACHE) # tried again when CMake runs again
        endif()
    endif()
endfunction()

# resplock_parts_of(BUILT MISSING SOURCE): the parts whose headers a source includes
function(resplock_parts_of built missing source)
    set(there)
    set(not_there)
    get_filename_component(source ${source} ABSOLUTE)
    file(STRINGS ${source} lines REGEX "^#include \"resplock/(tls|adapters)/")
    foreach(line IN LISTS lines)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
        string(REGEX REPLACE ".*\"(.+)\".*" "\\1" header "${line}")
        get_property(name GLOBAL PROPERTY resplock_part_of_${header})
        if(NOT name)
            message(FATAL_ERROR "${source}: cmake/optional.cmake has no part with ${header}")
        elseif(TARGET resplock_${name})
            list(APPEND there ${name})
        else()
            list(APPEND not_there ${name})
        endif()
    endforeach()
    set(${built} ${there} PARENT_SCOPE)
    set(${missing} ${not_there} PARENT_SCOPE)
endfunction()

# ---- The list ----

resplock_optional(keeper "A thread that renews leases"
    HEADER resplock/adapters/keeper.h SOURCE src/adapters/keeper.c
    THREADS)

# TLS.
resplock_optional(openssl "TLS by OpenSSL"
    HEADER resplock/tls/openssl.h SOURCE src/tls/openssl.c
    TARGET OpenSSL::SSL OpenSSL::Crypto PACKAGE OpenSSL 3.0
    PKG_CONFIG openssl>=3.0 INCLUDE openssl/ssl.h LIBRARIES ssl crypto)
resplock_optional(mbedtls "TLS by Mbed TLS"
    HEADER resplock/tls/mbedtls.h SOURCE src/tls/mbedtls.c
    TARGET MbedTLS::mbedtls MbedTLS::mbedx509 MbedTLS::mbedcrypto PACKAGE MbedTLS
    PKG_CONFIG mbedtls>=2.28 INCLUDE mbedtls/ssl.h LIBRARIES mbedtls mbedx509 mbedcrypto)

# Event loops.
resplock_optional(epoll "Event loop: epoll"
    HEADER resplock/adapters/epoll.h
    INCLUDE sys/epoll.h)
resplock_optional(uv "Event loop: libuv"
    HEADER resplock/adapters/uv.h
    PKG_CONFIG libuv INCLUDE uv.h LIBRARIES uv)
resplock_optional(libevent "Event loop: libevent"
    HEADER resplock/adapters/libevent.h
    PKG_CONFIG libevent_core>=2.1 INCLUDE event2/event.h LIBRARIES event_core)
resplock_optional(glib "Event loop: GLib"
    HEADER resplock/adapters/glib.h
    PKG_CONFIG glib-2.0>=2.36 INCLUDE glib.h)
resplock_optional(sdevent "Event loop: sd-event of systemd"
    HEADER resplock/adapters/sdevent.h
    PKG_CONFIG libsystemd>=229 INCLUDE systemd/sd-event.h LIBRARIES systemd)

# Resolvers of host names.
resplock_optional(resolver_thread "Resolver: a thread that calls getaddrinfo"
    HEADER resplock/adapters/resolver_thread.h SOURCE src/adapters/resolver_thread.c
    THREADS)
resplock_optional(cares "Resolver: c-ares"
    HEADER resplock/adapters/cares.h SOURCE src/adapters/cares.c
    PKG_CONFIG libcares INCLUDE ares.h LIBRARIES cares)
resplock_optional(uv_resolver "Resolver: libuv"
    HEADER resplock/adapters/uv_resolver.h SOURCE src/adapters/uv_resolver.c
    PKG_CONFIG libuv INCLUDE uv.h LIBRARIES uv)
