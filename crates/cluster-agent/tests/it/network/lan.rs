//! A network of namespaces on this machine: each node has an address, a cable, and one of two switches. It is gone with the process.

use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::agent::{Agent, PATIENCE, Site, cluster_command_by, text};

/// Nobody has this hardware address: what is sent there is sent, and arrives nowhere.
const NOBODY: &str = "02:00:00:00:00:00";

/// Within its own network, each agent has it for itself.
const ADMIN: &str = "127.0.0.1:7100";

/// Namespaces `n1`, `n2` and so on, at 10.77.0.1 and up, on the switch `switch0`; `switch1` is there for those who are to be apart.
pub(super) struct Lan {
    site: Site,
    size: usize,
}

/// Runs a program that must succeed.
fn run(line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().expect("a program")).args(words).output().expect(line);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
}

impl Lan {
    /// So many places, all on one switch.
    pub(super) fn new(size: usize) -> Self {
        let allowed = std::env::var_os("INTEGRATION_NETWORKS").is_some();
        assert!(allowed, "this test changes networks: run it with `cargo xtask integration network`");
        // A new test of the same process begins anew.
        run("mount -t tmpfs none /run");
        run("mkdir -p /run/netns");
        run("ip link set lo up");
        for switch in ["switch0", "switch1"] {
            let _ = Command::new("ip").args(["link", "delete", switch]).output();
            run(&format!("ip link add {switch} type bridge"));
            run(&format!("ip link set {switch} up"));
        }
        let mut lan = Self { site: Site::new("prod"), size: 0 };
        for _ in 0..size {
            lan.add();
        }
        lan
    }

    /// Another place; says its number.
    pub(super) fn add(&mut self) -> usize {
        self.size += 1;
        let i = self.size;
        let _ = Command::new("ip").args(["link", "delete", &format!("cable{i}")]).output();
        run(&format!("ip netns add n{i}"));
        run(&format!("ip link add cable{i} type veth peer name eth0 netns n{i}"));
        run(&format!("ip link set cable{i} master switch0 up"));
        run(&format!("ip -n n{i} link set lo up"));
        run(&format!("ip -n n{i} addr add {}/16 dev eth0", Self::ip(i)));
        run(&format!("ip -n n{i} link set eth0 up"));
        i
    }

    /// The address of a place.
    pub(super) fn ip(i: usize) -> Ipv4Addr {
        let [high, low] = u16::try_from(i).expect("few").to_be_bytes();
        Ipv4Addr::new(10, 77, high, low)
    }

    /// An agent at a place.
    pub(super) fn spawn(&self, i: usize, name: &str, args: &[&str]) -> Agent {
        let admin = [args, &["--admin", ADMIN]].concat();
        self.site.spawn_with(on(i), name, &format!("{}:7000", Self::ip(i)), &admin)
    }

    /// An agent at each place, all joined through the first and linked as their membership wants.
    pub(super) fn cluster(&self) -> Vec<Agent> {
        let seed = format!("{}:7000", Self::ip(1));
        let mut agents: Vec<Agent> = Vec::new();
        for i in 1..=self.size {
            let join: &[&str] = if i == 1 { &[] } else { &["--join", &seed] };
            agents.push(self.spawn(i, &format!("n{i}"), join));
        }
        let mut agents: Vec<Agent> = agents.into_iter().map(Agent::ready).collect();
        let names: Vec<String> = agents.iter().map(|agent| agent.name.clone()).collect();
        for agent in &mut agents {
            let own = agent.name.clone();
            for other in names.iter().filter(|name| **name != own) {
                agent.until_event("joined", other);
                // Up to eleven members, each watches all others.
                if names.len() <= 11 {
                    agent.until_event("link_up", other);
                }
            }
        }
        agents
    }

    /// Asks the agent at a place, with a command of the `cluster` binary.
    pub(super) fn ask(&self, i: usize, args: &[&str]) -> Output {
        on(i).args(args).args(["--admin", ADMIN]).output().expect("it runs")
    }

    /// Waits until the agents at the first `alive` places all list so many as alive.
    pub(super) fn agree(&self, alive: usize) {
        let deadline = Instant::now() + PATIENCE;
        for i in 1..=alive {
            loop {
                let listed = self.ask(i, &["members", "--json"]);
                let members: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
                if members.iter().filter(|member| member["state"] == "alive").count() == alive {
                    break;
                }
                assert!(Instant::now() < deadline, "n{i} never saw {alive} alive: {members:#?}");
            }
        }
    }

    /// Pulls the cable of a place, or plugs it in.
    pub(super) fn cable(&self, i: usize, plugged: bool) {
        run(&format!("ip link set cable{i} {}", if plugged { "up" } else { "down" }));
    }

    /// Moves a cable to another switch. The two are not joined.
    pub(super) fn switch(&self, i: usize, switch: usize) {
        run(&format!("ip link set cable{i} master switch{switch}"));
    }

    /// From now on nothing gets from one place to another, and whoever sends is not told.
    pub(super) fn cut_one_way(&self, from: usize, to: usize) {
        run(&format!("ip -n n{from} neigh replace {} lladdr {NOBODY} dev eth0 nud permanent", Self::ip(to)));
    }

    /// A place hears nobody.
    pub(super) fn deafen(&self, i: usize) {
        (1..=self.size).filter(|from| *from != i).for_each(|from| self.cut_one_way(from, i));
    }

    /// A place is heard by nobody.
    pub(super) fn mute(&self, i: usize) {
        (1..=self.size).filter(|to| *to != i).for_each(|to| self.cut_one_way(i, to));
    }

    /// Every path works again.
    pub(super) fn mend(&self) {
        (1..=self.size).for_each(|i| run(&format!("ip -n n{i} neigh flush nud permanent dev eth0")));
    }

    /// Packets to and from a place may be so long.
    pub(super) fn widest_packet(&self, i: usize, bytes: u16) {
        run(&format!("ip link set cable{i} mtu {bytes}"));
    }
}

/// A command within a place.
fn on(i: usize) -> Command {
    cluster_command_by("ip", &["netns", "exec", &format!("n{i}")])
}
