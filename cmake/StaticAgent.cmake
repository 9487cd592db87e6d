# The agent for devices: small, and free of the device's libc. Names and users are resolved by our
# own code.
option(RL_STATIC_PIE "the static agent starts at an address of its own each time; costs memory" OFF)
target_compile_definitions(rl_hardening INTERFACE RL_STATIC_AGENT)
target_compile_options(rl_hardening INTERFACE -ffunction-sections -fdata-sections)
target_link_options(rl_hardening INTERFACE -Wl,--gc-sections -Wl,--no-eh-frame-hdr
    -Wl,-T,${CMAKE_CURRENT_LIST_DIR}/agent.ld)
if(RL_STATIC_PIE)
    target_link_options(rl_hardening INTERFACE -static-pie)
else()
    # docs/decisions/0019-the-static-agent.md: what relocating costs each process, and what fixed addresses cost.
    target_compile_options(rl_hardening INTERFACE -fno-pie)
    target_link_options(rl_hardening INTERFACE -static -no-pie)
endif()
