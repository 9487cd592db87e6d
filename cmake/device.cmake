# Debian's cross compilers, and libraries unpacked beside the build (tools/dev/agent.sh). Wants
# RL_TRIPLET, aarch64-linux-gnu, and RL_SYSROOT, where /usr/lib/TRIPLET and /usr/include are. The
# libc is the compiler's own.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES RL_TRIPLET RL_SYSROOT)
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR ${RL_TRIPLET})
set(CMAKE_C_COMPILER ${RL_TRIPLET}-gcc)
set(CMAKE_CXX_COMPILER ${RL_TRIPLET}-g++)
set(CMAKE_C_FLAGS_INIT
    "-isystem ${RL_SYSROOT}/usr/include/${RL_TRIPLET} -isystem ${RL_SYSROOT}/usr/include")

set(CMAKE_FIND_ROOT_PATH ${RL_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE ${RL_TRIPLET})
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${RL_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${RL_SYSROOT}/usr/lib/${RL_TRIPLET}/pkgconfig)
