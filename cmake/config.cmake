# SPDX-License-Identifier: MIT
# The limits and switches of include/resplock/config.h as options RESPLOCK_<NAME>, and a copy of
# that header with their values fixed, in ${resplock_config_include}. The header is the only list:
# a limit or switch that is added there needs no line here. The one-file form has that header in it:
# it gets the values as definitions, ${resplock_config_definitions}.

set(resplock_config ${PROJECT_SOURCE_DIR}/include/resplock/config.h)
set(resplock_config_include ${PROJECT_BINARY_DIR}/config)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${resplock_config})
file(READ ${resplock_config} resplock_config_text)

# Replaces one passage of the text, which must be there.
function(resplock_config_replace old new)
    string(FIND "${resplock_config_text}" "${old}" resplock_config_at)
    if(resplock_config_at EQUAL -1)
        message(FATAL_ERROR "${resplock_config}: not of the form that CMake reads: ${old}")
    endif()
    string(REPLACE "${old}" "${new}" resplock_config_text "${resplock_config_text}")
    set(resplock_config_text "${resplock_config_text}" PARENT_SCOPE)
endfunction()

file(STRINGS ${resplock_config} resplock_limits REGEX "^#define RLK_[A-Z0-9_]+ +[0-9]+$")
foreach(line IN LISTS resplock_limits)
    string(REGEX MATCH "RLK_([A-Z0-9_]+) +([0-9]+)" line "${line}")
    set(name ${CMAKE_MATCH_1})
    set(default ${CMAKE_MATCH_2})
    if(NOT DEFINED RESPLOCK_${name}) # a parent's plain variable would be hidden by the cache's
        set(RESPLOCK_${name} ${default} CACHE STRING "Limit RLK_${name}: see resplock/config.h")
    endif()
    set(value ${RESPLOCK_${name}})
    if(NOT value MATCHES "^[0-9]+$")
        message(FATAL_ERROR "RESPLOCK_${name} must be a number, not \"${value}\"")
    endif()
    list(APPEND resplock_config_definitions RLK_${name}=${value})
    resplock_config_replace(
"#ifndef RLK_${name}
#define RLK_${name} ${default}
#endif"
"#if defined(RLK_${name}) && RLK_${name} != ${value}
#error \"This resplock was built with RLK_${name} ${value}\"
#endif
#undef RLK_${name}
#define RLK_${name} ${value}")
endforeach()

file(STRINGS ${resplock_config} resplock_switches REGEX "^/\\* #define RLK_[A-Z0-9_]+ \\*/$")
foreach(line IN LISTS resplock_switches)
    string(REGEX MATCH "RLK_([A-Z0-9_]+)" line "${line}")
    set(name ${CMAKE_MATCH_1})
    option(RESPLOCK_${name} "Switch RLK_${name}: see resplock/config.h" OFF)
    if(RESPLOCK_${name})
        list(APPEND resplock_config_definitions RLK_${name})
        resplock_config_replace("/* #define RLK_${name} */"
"#ifndef RLK_${name}
#define RLK_${name}
#endif")
    else()
        resplock_config_replace("/* #define RLK_${name} */"
"#ifdef RLK_${name}
#error \"This resplock was built without RLK_${name}\"
#endif")
    endif()
endforeach()

# Written only when it differs, so that nothing is compiled anew for nothing.
file(GENERATE OUTPUT ${resplock_config_include}/resplock/config.h CONTENT "${resplock_config_text}")
