//! For as long as one likes: agents are killed, stopped, sent away and brought back, again and again, and talk meanwhile. Nobody is
//! declared who was alive, and who was there all the time holds no more than after the first turns.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, PATIENCE, Site, checked, cluster, nodes_or, rest, text};

/// What the longest-lived agent may hold more in the end than early on, in bytes and descriptors.
const MORE_BYTES: u64 = 8 << 20;
const MORE_DESCRIPTORS: usize = 8;

/// Draws that are the same each time.
struct Draws(u64);

impl Draws {
    /// xorshift64, Marsaglia 2003.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Bytes in memory and descriptors of a process.
fn held(id: u32) -> (u64, usize) {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("it runs");
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count();
    (pages * 4_096, descriptors)
}

struct Soak {
    site: Site,
    agents: Vec<Agent>,
    draws: Draws,
    delivered: u64,
    /// Texts of which nobody can say whether they arrived.
    unknown: u64,
}

impl Soak {
    /// The first is never touched.
    fn victim(&mut self) -> usize {
        1 + self.draws.below(self.agents.len() - 1)
    }

    fn start_again(&mut self, i: usize, bind: &str) {
        let name = format!("n{}", i + 1);
        let seed = self.agents[0].bind.clone();
        let again = self.site.spawn(&name, bind, &["--profile", "local", "--admin", "127.0.0.1:0", "--join", &seed]);
        self.agents.insert(i, again.ready());
    }

    /// All list all as alive.
    fn agree(&self) {
        for agent in &self.agents {
            let deadline = Instant::now() + PATIENCE;
            let admin = agent.admin.as_deref().expect("an admin address");
            loop {
                let listed = cluster(&["members", "--admin", admin, "--json"]);
                let members: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
                if members.iter().filter(|m| m["state"] == "alive").count() == self.agents.len() {
                    break;
                }
                assert!(Instant::now() < deadline, "{} never saw all: {members:#?}", agent.name);
            }
        }
    }

    /// Somebody says something to somebody else.
    fn talk(&mut self) {
        let (from, to) = (self.draws.below(self.agents.len()), self.victim());
        if from == to {
            return;
        }
        let admin = self.agents[from].admin.clone().expect("an admin address");
        let name = self.agents[to].name.clone();
        let sent = cluster(&["send", &name, "how are you?", "--admin", &admin]);
        let errors = text(&sent.stderr);
        // Over a link to the life before: what became of it is not known, and that is said.
        match (sent.status.success(), errors.contains("maybe delivered")) {
            (true, _) => self.delivered += 1,
            (false, true) => self.unknown += 1,
            (false, false) => panic!("{} to {name}: {errors}", self.agents[from].name),
        }
    }

    /// Reads what all have said, and forgets it: nobody but whoever was killed in this turn may have been declared.
    fn judge(&mut self, killed: Option<&str>, gone: &[Value]) {
        let said = self.agents.iter_mut().flat_map(Agent::take_said).chain(gone.iter().cloned());
        for line in said {
            let declared = line["event"] == "failed";
            assert!(!declared || line["node"].as_str() == killed, "somebody was declared who was alive: {line}");
        }
    }

    fn turn(&mut self) {
        let i = self.victim();
        let (mut killed, mut gone) = (None, Vec::new());
        match self.draws.below(4) {
            0 => {
                let agent = self.agents.remove(i);
                let bind = agent.bind.clone();
                killed = Some(agent.name.clone());
                agent.signal(Signal::KILL);
                gone = agent.wait().1;
                self.start_again(i, &bind);
            }
            1 => {
                // Less than this profile forgives.
                self.agents[i].signal(Signal::STOP);
                rest(Duration::from_millis(500));
                self.agents[i].signal(Signal::CONT);
            }
            2 => {
                let agent = self.agents.remove(i);
                let bind = agent.bind.clone();
                agent.signal(Signal::TERM);
                let (code, said, errors) = agent.wait();
                assert_eq!(code, Some(0), "{errors}");
                gone = said;
                self.start_again(i, &bind);
            }
            _ => {
                // Quick enough that it is forgiven or never noticed, without a word.
                self.agents[i].signal(Signal::HUP);
            }
        }
        self.agree();
        self.judge(killed.as_deref(), &gone);
        (0..5).for_each(|_| self.talk());
    }
}

#[test]
#[ignore = "as long as one likes: cargo xtask integration soak --soak=1h"]
fn soak() {
    let span = std::env::var("INTEGRATION_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(20);
    let span = Duration::from_secs(span);
    let site = Site::new("prod");
    let agents = site.cluster(nodes_or(6), &["--profile", "local", "--admin", "127.0.0.1:0"]);
    let count = agents.len();
    let mut soak = Soak { site, agents, draws: Draws(0x9e37_79b9_7f4a_7c15), delivered: 0, unknown: 0 };
    let started = Instant::now();
    let mut turns = 0;
    let mut early = None;
    while started.elapsed() < span || turns < 8 {
        soak.turn();
        turns += 1;
        // Everything that is set up once has been, by now.
        if early.is_none() && turns >= 4 && started.elapsed() >= span / 5 {
            early = Some(held(soak.agents[0].id()));
        }
    }
    let (early, late) = (early.expect("it was looked at"), held(soak.agents[0].id()));
    assert!(late.0 <= early.0 + MORE_BYTES, "the first grew from {} to {} bytes", early.0, late.0);
    assert!(late.1 <= early.1 + MORE_DESCRIPTORS, "the first grew from {} to {} descriptors", early.1, late.1);
    assert!(soak.delivered > 5 * soak.unknown, "{} delivered, {} unknown", soak.delivered, soak.unknown);
    let figures = format!(
        "{turns} kills, stops, farewells and returns in {:.0} s, {} texts delivered, of {} it is not known; the first held {} KiB, then {} KiB, {} descriptors, then {}",
        started.elapsed().as_secs_f64(),
        soak.delivered,
        soak.unknown,
        early.0 >> 10,
        late.0 >> 10,
        early.1,
        late.1
    );
    checked(count, &figures);
}
