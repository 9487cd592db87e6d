# One call declares a library, a program, a test or a fuzz target. Link lists are the architecture:
# a library may include the headers of what it names here and of nothing else
# (cmake/check-includes.sh holds the sources against these lists).
option(RL_FUZZ "build libFuzzer targets" OFF)
option(RL_COVERAGE "instrument for coverage" OFF)
set(RL_SANITIZE "" CACHE STRING "sanitizers, as in -fsanitize=")

# What makes a mistake harder to use: also for generated code. tests/hardening reads it off the
# programs and off every command.
add_library(rl_hardening INTERFACE)
target_compile_options(rl_hardening INTERFACE
    -fno-common -fvisibility=hidden -fstack-protector-strong -fstack-clash-protection -fPIE)
target_link_options(rl_hardening INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
if(RL_STATIC_AGENT)
    include(StaticAgent)
else()
    target_link_options(rl_hardening INTERFACE -pie)
endif()
if(CMAKE_BUILD_TYPE MATCHES "RelWithDebInfo|MinSizeRel")
    target_compile_options(rl_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

add_library(rl_flags INTERFACE)
target_link_libraries(rl_flags INTERFACE rl_hardening)
target_include_directories(rl_flags INTERFACE ${CMAKE_SOURCE_DIR}/lib)
target_compile_definitions(rl_flags INTERFACE _GNU_SOURCE RL_VERSION="${PROJECT_VERSION}")
target_compile_options(rl_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wimplicit-fallthrough -Werror)
if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    target_compile_options(rl_flags INTERFACE -Wno-error=maybe-uninitialized)
else()
    # protobuf-c's initialisers cast the empty string; clang looks into the macros of system headers.
    # A long text over several lines in a list of texts is meant.
    target_compile_options(rl_flags INTERFACE -Wno-cast-qual -Wno-string-concatenation)
endif()
if(RL_SANITIZE)
    target_compile_options(rl_flags INTERFACE -fsanitize=${RL_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=undefined)
    target_link_options(rl_flags INTERFACE -fsanitize=${RL_SANITIZE})
endif()
if(RL_FUZZ) # the libraries too: a fuzzer that does not see into them only guesses
    target_compile_options(rl_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(RL_COVERAGE)
    target_compile_options(rl_flags INTERFACE --coverage)
    target_link_options(rl_flags INTERFACE --coverage)
endif()

# rl_library(<name> SOURCES ... [DEPS ...] [TESTS tests/test_x.c ...] [TEST_DEPS ...])
# makes target rl_<name>; DEPS are names of other libraries (status, bytes) or imported targets.
function(rl_library name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;TESTS;TEST_DEPS" ${ARGN})
    add_library(rl_${name} STATIC ${A_SOURCES})
    rl_resolve(deps ${A_DEPS})
    target_link_libraries(rl_${name} PUBLIC rl_flags ${deps})
    foreach(test ${A_TESTS})
        rl_test(${name} ${test} DEPS ${name} ${A_TEST_DEPS})
    endforeach()
endfunction()

# rl_program(<binary> SOURCES ... DEPS ...)
function(rl_program name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    rl_resolve(deps ${A_DEPS})
    target_link_libraries(${name} PRIVATE rl_flags ${deps})
endfunction()

# Those whose business threads are, with a target and a label for them: CI runs these under the
# thread sanitizer, and all of them only `./dev test tsan`.
set(RL_TESTS_OF_THREADS loop/loop loop/workers log/log rpc_grpc/grpc rpc_grpc/cross event/sender
    journal/outbox)
add_custom_target(threads)

# rl_test(<module> tests/test_x.c DEPS ...): one Check binary, one ctest entry <module>/<x>.
function(rl_test module source)
    if(RL_STATIC_AGENT)
        return()
    endif()
    cmake_parse_arguments(A "" "" "DEPS" ${ARGN})
    get_filename_component(base ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" short ${base})
    set(target test_${module}_${short})
    string(REPLACE "/" "_" target ${target})
    add_executable(${target} ${source})
    rl_resolve(deps ${A_DEPS})
    target_link_libraries(${target} PRIVATE rl_flags ${deps} PkgConfig::CHECK)
    add_test(NAME unit/${module}/${short} COMMAND ${target}
        WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    # Check's own 4 s for a test are few on a machine that does much else.
    set_tests_properties(unit/${module}/${short} PROPERTIES TIMEOUT 120 LABELS unit
        ENVIRONMENT CK_DEFAULT_TIMEOUT=60)
    if(${module}/${short} IN_LIST RL_TESTS_OF_THREADS)
        set_tests_properties(unit/${module}/${short} PROPERTIES LABELS "unit;threads")
        add_dependencies(threads ${target})
    endif()
endfunction()

# rl_fuzzer(<name> SOURCE x.c CORPUS dir DEPS ...): libFuzzer with RL_FUZZ, else a program that
# replays the corpus as an ordinary test, and once more with memory refused (tests/memory).
function(rl_fuzzer name)
    if(RL_STATIC_AGENT)
        return()
    endif()
    cmake_parse_arguments(A "" "SOURCE;CORPUS" "DEPS" ${ARGN})
    rl_resolve(deps ${A_DEPS})
    if(RL_FUZZ)
        add_executable(fuzz_${name} ${A_SOURCE})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        if(NOT TARGET fuzzers)
            add_custom_target(fuzzers)
        endif()
        add_dependencies(fuzzers fuzz_${name})
        file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpora) # what each begins with
        file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${A_CORPUS} ${CMAKE_BINARY_DIR}/corpora/${name}
            SYMBOLIC)
    else()
        add_executable(fuzz_${name} ${A_SOURCE} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c
            ${CMAKE_SOURCE_DIR}/tests/memory/starve.c)
        target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/memory)
        add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${CMAKE_CURRENT_SOURCE_DIR}/${A_CORPUS})
        set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
        rl_memory_test(${name} fuzz_${name} --refuse-memory ${CMAKE_CURRENT_SOURCE_DIR}/${A_CORPUS})
    endif()
    target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz)
    target_link_libraries(fuzz_${name} PRIVATE rl_flags ${deps})
endfunction()

# rl_memory_test(<name> <command> ...): one that refuses memory by tests/memory/starve.c; not where
# the sanitizer of threads has the allocator.
function(rl_memory_test name)
    if(NOT RL_SANITIZE MATCHES thread)
        add_test(NAME memory/${name} COMMAND ${ARGN})
        set_tests_properties(memory/${name} PROPERTIES TIMEOUT 3600 LABELS memory)
    endif()
endfunction()

function(rl_resolve out)
    set(result "")
    foreach(dep ${ARGN})
        if(dep MATCHES "::" OR dep MATCHES "^-")
            list(APPEND result ${dep})
        else()
            list(APPEND result rl_${dep})
        endif()
    endforeach()
    set(${out} ${result} PARENT_SCOPE)
endfunction()
