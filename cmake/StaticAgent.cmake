# The agent for devices: small, and free of the device's libc. Names and users are resolved by our
# own code, so that what the linker says of getaddrinfo() and the like is of no concern.
target_compile_definitions(rl_hardening INTERFACE RL_STATIC_AGENT)
target_compile_options(rl_hardening INTERFACE -ffunction-sections -fdata-sections)
target_link_options(rl_hardening INTERFACE -Wl,--gc-sections)

# Where the libc can (armhf's can not), at an address of its own at each start. What starts the
# others needs the tables that agent.ld leaves out; on armhf they are small.
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=rcrt1.o
    OUTPUT_VARIABLE static_pie_start OUTPUT_STRIP_TRAILING_WHITESPACE)
if(IS_ABSOLUTE "${static_pie_start}")
    target_link_options(rl_hardening INTERFACE -static-pie -Wl,--no-eh-frame-hdr
        -Wl,-T,${CMAKE_CURRENT_LIST_DIR}/agent.ld)
else()
    target_link_options(rl_hardening INTERFACE -static -no-pie)
endif()
