# SPDX-License-Identifier: MIT
# Installs the library, its headers, and its packages for CMake and pkg-config. Nothing installed
# names the prefix, so that it may be moved. The static and the shared library, from two builds, may
# share a prefix.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(resplock_kind shared)
get_target_property(resplock_type resplock TYPE)
if(resplock_type STREQUAL STATIC_LIBRARY)
    set(resplock_kind static)
endif()

install(TARGETS resplock EXPORT resplock-${resplock_kind}-targets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT resplock_runtime
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT resplock_runtime
        NAMELINK_COMPONENT resplock_development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT resplock_development
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT resplock_development
    PATTERN config.h EXCLUDE PATTERN tls EXCLUDE PATTERN adapters EXCLUDE) # these: with their parts
install(FILES ${resplock_config_include}/resplock/config.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/resplock COMPONENT resplock_development)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE
    DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT resplock_development)

# ---- CMake package ----

set(resplock_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/resplock)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/resplockConfigVersion.cmake
    COMPATIBILITY SameMinorVersion) # as RLK_LAYOUT and SOVERSION
install(EXPORT resplock-${resplock_kind}-targets NAMESPACE resplock::
    DESTINATION ${resplock_package_dir} COMPONENT resplock_development)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/resplockConfig.cmake
              ${PROJECT_SOURCE_DIR}/cmake/resplockNeeds.cmake
              ${PROJECT_BINARY_DIR}/resplockConfigVersion.cmake
    DESTINATION ${resplock_package_dir} COMPONENT resplock_development)

# ---- pkg-config ----

# Relative to the folder of the .pc file, except folders that were given with their whole path.
string(REPLACE " " "\\ " resplock_pc_prefix "${CMAKE_INSTALL_PREFIX}")
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    file(RELATIVE_PATH resplock_pc_up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" resplock_pc_prefix "\${pcfiledir}/${resplock_pc_up}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
    string(REPLACE " " "\\ " resplock_pc_${dir} "${CMAKE_INSTALL_${dir}}")
    if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
        string(PREPEND resplock_pc_${dir} "\${prefix}/")
    endif()
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/cmake/resplock.pc.in ${PROJECT_BINARY_DIR}/resplock.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/resplock.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT resplock_development)

# ---- Optional parts ----

# Installs a part, its header, and its packages. Where pkg-config does not know what it needs, its .pc
# file names the libraries.
function(resplock_install_part part)
    cmake_parse_arguments(needs "THREADS" "" "TARGET;PACKAGE;PKG_CONFIG;INCLUDE;LIBRARIES"
        ${resplock_part_${part}_needs})
    set(text "${resplock_part_${part}_text}")
    set(requires resplock)
    set(libs)
    set(cflags)
    if(resplock_part_${part}_source)
        set(libs "-L\${libdir} -lresplock_${part}")
    endif()
    if(needs_THREADS)
        string(APPEND libs " -pthread")
        set(cflags -pthread)
    endif()
    set(known OFF)
    string(REPLACE ">=" " >= " modules "${needs_PKG_CONFIG}") # as pkg-config wants it
    if(needs_PKG_CONFIG)
        find_package(PkgConfig QUIET)
        if(PKG_CONFIG_FOUND)
            execute_process(COMMAND ${PKG_CONFIG_EXECUTABLE} --exists ${modules}
                RESULT_VARIABLE status)
            if(status EQUAL 0)
                set(known ON)
            endif()
        endif()
    endif()
    if(known)
        string(REPLACE ";" ", " modules "${modules}")
        string(APPEND requires ", ${modules}")
    else()
        foreach(library IN LISTS needs_LIBRARIES)
            string(APPEND libs " -l${library}")
        endforeach()
    endif()
    string(STRIP "${libs}" libs)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/part.pc.in
        ${PROJECT_BINARY_DIR}/resplock-${part}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/resplock-${part}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT resplock_development)

    set(needs)
    foreach(argument IN LISTS resplock_part_${part}_needs)
        string(APPEND needs " \"${argument}\"")
    endforeach()
    configure_file(${PROJECT_SOURCE_DIR}/cmake/part.cmake.in
        ${PROJECT_BINARY_DIR}/resplock-${part}.cmake @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/resplock-${part}.cmake
        DESTINATION ${resplock_package_dir} COMPONENT resplock_development)
    install(TARGETS resplock_${part} EXPORT resplock-${part}-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT resplock_development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT resplock-${part}-targets NAMESPACE resplock::
        DESTINATION ${resplock_package_dir} COMPONENT resplock_development)
    get_filename_component(folder ${resplock_part_${part}_header} DIRECTORY)
    install(FILES ${PROJECT_SOURCE_DIR}/include/${resplock_part_${part}_header}
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${folder} COMPONENT resplock_development)
endfunction()
foreach(part IN LISTS resplock_parts)
    resplock_install_part(${part})
endforeach()
