# SPDX-License-Identifier: MIT
# find_package(resplock [COMPONENTS static | shared]) gives the target resplock::resplock. Where both
# kinds are installed and neither is asked for, BUILD_SHARED_LIBS chooses. Where there are threads,
# also resplock::keeper.

set(resplock_kinds ${resplock_FIND_COMPONENTS})
if(NOT resplock_kinds AND BUILD_SHARED_LIBS)
    set(resplock_kinds shared static)
elseif(NOT resplock_kinds)
    set(resplock_kinds static shared)
endif()
foreach(resplock_kind IN LISTS resplock_kinds)
    if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/resplock-${resplock_kind}-targets.cmake)
        include(${CMAKE_CURRENT_LIST_DIR}/resplock-${resplock_kind}-targets.cmake)
        set(resplock_${resplock_kind}_FOUND TRUE)
        if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/resplock-keeper-targets.cmake)
            find_package(Threads QUIET)
            if(Threads_FOUND)
                include(${CMAKE_CURRENT_LIST_DIR}/resplock-keeper-targets.cmake)
            endif()
        endif()
        return()
    endif()
endforeach()
set(resplock_FOUND FALSE)
set(resplock_NOT_FOUND_MESSAGE "No library of this kind is installed: ${resplock_kinds}")
