# SPDX-License-Identifier: MIT
# Finds what an optional part needs: used by resplock's own build, and by resplockConfig.cmake for
# who builds against an installed part.

# resplock_find_needs(NAME [GLOBAL] [THREADS] [TARGET TARGET...] [PACKAGE NAME VERSION]
#                     [PKG_CONFIG MODULE...] [INCLUDE HEADER...] [LIBRARIES LIBRARY...])
# makes the target resplock::needs_NAME, unless something is missing. The ways, in this order:
#     TARGET      the project has these targets already
#     PACKAGE     find_package finds a package with these targets
#     PKG_CONFIG  pkg-config knows these modules
#     LIBRARIES   CMake finds the headers of INCLUDE and these libraries
# INCLUDE alone: the compiler has the headers. THREADS: POSIX threads.
function(resplock_find_needs name)
    cmake_parse_arguments(PARSE_ARGV 1 needs "GLOBAL;THREADS" ""
        "TARGET;PACKAGE;PKG_CONFIG;INCLUDE;LIBRARIES")
    if(TARGET resplock::needs_${name})
        return()
    endif()
    set(global)
    if(needs_GLOBAL)
        set(global GLOBAL)
    endif()
    set(found)
    set(folders)

    if(needs_THREADS)
        set(CMAKE_THREAD_PREFER_PTHREAD ON)
        find_package(Threads QUIET)
        if(NOT Threads_FOUND OR NOT CMAKE_USE_PTHREADS_INIT)
            return()
        endif()
        list(APPEND found Threads::Threads)
    endif()

    resplock_needs_targets(there ${needs_TARGET})
    if(NOT there AND needs_PACKAGE)
        find_package(${needs_PACKAGE} QUIET)
        resplock_needs_targets(there ${needs_TARGET})
    endif()
    if(there)
        list(APPEND found ${needs_TARGET})
    elseif(needs_PKG_CONFIG OR needs_LIBRARIES)
        set(module_FOUND)
        if(needs_PKG_CONFIG)
            find_package(PkgConfig QUIET)
        endif()
        if(needs_PKG_CONFIG AND PKG_CONFIG_FOUND)
            pkg_check_modules(RESPLOCK_${name} QUIET IMPORTED_TARGET ${global} ${needs_PKG_CONFIG})
            set(module_FOUND ${RESPLOCK_${name}_FOUND})
        endif()
        if(module_FOUND)
            list(APPEND found PkgConfig::RESPLOCK_${name})
        elseif(needs_LIBRARIES)
            foreach(header IN LISTS needs_INCLUDE)
                string(MAKE_C_IDENTIFIER "RESPLOCK_INCLUDE_${header}" entry)
                find_path(${entry} ${header})
                mark_as_advanced(${entry})
                if(NOT ${entry})
                    return()
                endif()
                list(APPEND folders ${${entry}})
            endforeach()
            foreach(library IN LISTS needs_LIBRARIES)
                string(MAKE_C_IDENTIFIER "RESPLOCK_LIBRARY_${library}" entry)
                find_library(${entry} ${library})
                mark_as_advanced(${entry})
                if(NOT ${entry})
                    return()
                endif()
                list(APPEND found ${${entry}})
            endforeach()
        else()
            return()
        endif()
    endif()

    add_library(resplock::needs_${name} INTERFACE IMPORTED ${global})
    set_target_properties(resplock::needs_${name} PROPERTIES
        INTERFACE_LINK_LIBRARIES "${found}" INTERFACE_INCLUDE_DIRECTORIES "${folders}")
endfunction()

# Whether there are targets, and all of these are.
function(resplock_needs_targets result)
    set(there ON)
    foreach(target IN LISTS ARGN)
        if(NOT TARGET ${target})
            set(there OFF)
        endif()
    endforeach()
    if(NOT ARGN)
        set(there OFF)
    endif()
    set(${result} ${there} PARENT_SCOPE)
endfunction()
