//! Networks of a test's own: user, mount, process and network namespaces, made by `unshare` of util-linux. Who may make them needs no
//! privilege, and nothing outlives them: when their first process ends, the kernel ends all the others and forgets the networks.

use std::process::Command;
use std::sync::OnceLock;

const UNSHARE: [&str; 9] =
    ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// All that the tests do to their networks, once.
const PROBE: &str = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add probe \
    && ip link add probe-bridge type bridge && ip link add probe-a type veth peer name probe-b netns probe \
    && ip link set probe-a master probe-bridge up mtu 1280 && ip -n probe addr add 10.77.0.1/16 dev probe-b \
    && ip -n probe link set probe-b up \
    && ip -n probe neigh replace 10.77.0.2 lladdr 02:00:00:00:00:00 dev probe-b nud permanent \
    && ip netns exec probe true";

/// Why no networks can be made here, if so; looked at once.
pub(super) fn obstacle() -> Option<String> {
    static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
    OBSTACLE.get_or_init(look).clone()
}

fn look() -> Option<String> {
    let tried = command().args(["sh", "-c", PROBE]).output();
    let why = match tried {
        Ok(done) if done.status.success() => return None,
        Ok(done) => String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; "),
        Err(error) => format!("`unshare`: {error}"),
    };
    Some(format!(
        "no network namespaces here ({why}). They need Linux, util-linux, iproute2, and permission to make user namespaces"
    ))
}

/// A command within namespaces of its own; its arguments are the program and that program's.
pub(super) fn command() -> Command {
    let mut command = Command::new(UNSHARE[0]);
    command.args(&UNSHARE[1..]).arg("--");
    command
}
