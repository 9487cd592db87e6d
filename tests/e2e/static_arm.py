"""The static agent of another machine, emulated: it joins, is logged into, copies a file, is recorded. All but
seccomp, which qemu does not have: that is proved natively."""

from device import Agent, binary, emulated, flags, token_file
from test_9_static_agent import copies_both_ways, is_hardened, is_recorded


def serves(c, arch):
    name = f"dev-{arch}"
    command = [binary(arch), *flags(c, name, f"--data-dir={c.dir}/{name}", token_file(c, name), "--no-seccomp")]
    with Agent(c, name, command, setup=emulated(arch)).wait_until_online(60):
        assert c.ssh(name, "hostname; exit 7", timeout=60).check(7).out == f"{name}\n"
        copies_both_ways(c, name, c.dir / f"{name}-there")
        is_recorded(c, name)
        assert c.ssh(name, "true").code == 0


def test_the_files_are_hard_to_use_against_themselves(c):
    is_hardened("arm64")
    is_hardened("armhf")


def test_arm64_serves_a_device(c):
    serves(c, "arm64")


def test_armhf_serves_a_device(c):
    serves(c, "armhf")


def test_without_being_told_it_refuses_a_kernel_without_seccomp(c):
    command = [binary("arm64"), *flags(c, "refused", f"--data-dir={c.dir}/refused", token_file(c, "refused"))]
    with Agent(c, "refused", command, setup=emulated("arm64")) as agent:
        assert agent.process.wait(timeout=30) == 1
        assert "--no-seccomp" in agent.log.read_text()
