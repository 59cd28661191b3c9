//! A handful of cores, each linked to each, over a wire that takes no time: what they do together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_gossip::wire::{Datagram, DatagramKind, Request};
use cluster_gossip::{Output, PeerInfo, Statement, Swim, SwimConfig};
use cluster_types::{Claim, Instant, Metadata, NodeId, Seed, State};

use crate::hand::{BOOT_MS, alive, ms, node};

/// What went over the wire, or out of a core, and when.
pub(crate) struct Seen<T> {
    pub(crate) at: Instant,
    pub(crate) by: String,
    pub(crate) what: T,
}

#[derive(Default)]
pub(crate) struct Cores {
    pub(crate) cores: BTreeMap<NodeId, Swim>,
    pub(crate) now: Instant,
    /// They neither send nor hear.
    pub(crate) down: BTreeSet<NodeId>,
    pub(crate) datagrams: Vec<Seen<(String, Datagram)>>,
    pub(crate) requests: Vec<Seen<(String, u16)>>,
    pub(crate) published: Vec<Seen<Statement>>,
    pub(crate) others: Vec<Seen<Output>>,
}

pub(crate) fn info(name: &str) -> PeerInfo {
    PeerInfo::from(&alive(name))
}

pub(crate) fn metadata(len: usize) -> Metadata {
    Metadata::new([("k".to_owned(), "v".repeat(len))]).expect("short enough")
}

impl Cores {
    /// Cores of these names, linked and joined through the first.
    pub(crate) fn met(names: &[&str]) -> Self {
        let mut cores = Self::default();
        for name in names {
            cores.add(name, Metadata::default());
            if *name != names[0] {
                cores.join(name, names[0]);
            }
        }
        cores.pass(ms(2_000));
        cores.forget();
        cores
    }

    /// A core that is linked to all others, and knows nobody.
    pub(crate) fn add(&mut self, name: &str, metadata: Metadata) {
        let cluster = "test".parse().expect("a name");
        let seed = Seed::new(9).derive(name, 0);
        let swim = Swim::new(SwimConfig::lan(), &cluster, alive(name), metadata, BOOT_MS, seed, self.now);
        let others: Vec<NodeId> = self.cores.keys().cloned().collect();
        self.cores.insert(node(name), swim);
        for other in others {
            self.link(name, other.as_str());
        }
        self.carry();
    }

    pub(crate) fn link(&mut self, a: &str, b: &str) {
        let now = self.now;
        self.core(a).handle_link_up(now, info(b));
        self.core(b).handle_link_up(now, info(a));
    }

    pub(crate) fn join(&mut self, name: &str, via: &str) {
        self.core(name).join(&node(via));
        self.carry();
    }

    pub(crate) fn core(&mut self, name: &str) -> &mut Swim {
        self.cores.get_mut(&node(name)).expect("a core")
    }

    /// What one holds another to be.
    pub(crate) fn held(&self, by: &str, about: &str) -> Option<Claim> {
        self.cores[&node(by)].member(&node(about)).map(|member| member.claim.clone())
    }

    pub(crate) fn state(&self, by: &str, about: &str) -> Option<State> {
        self.held(by, about).map(|claim| claim.state)
    }

    /// Forgets what has been seen so far.
    pub(crate) fn forget(&mut self) {
        self.datagrams.clear();
        self.requests.clear();
        self.published.clear();
        self.others.clear();
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let up = self.cores.iter().filter(|(name, _)| !self.down.contains(*name));
            let next = up.map(|(_, swim)| swim.next_deadline()).min().unwrap_or(until);
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            let now = self.now;
            for (name, swim) in &mut self.cores {
                if !self.down.contains(name) && swim.next_deadline() <= now {
                    swim.handle_timeout(now);
                }
            }
            self.carry();
        }
        self.now = until;
    }

    /// Carries everything that cores have put out, and what that leads to.
    pub(crate) fn carry(&mut self) {
        let now = self.now;
        while let Some((by, output)) = self.next_output() {
            let from = node(&by);
            match output {
                Output::Datagram { to, bytes } => {
                    let datagram = Datagram::decode(&bytes).expect("what we send decodes");
                    self.datagrams.push(Seen { at: now, by, what: (to.to_string(), datagram) });
                    if let Some(swim) = self.cores.get_mut(&to).filter(|_| !self.down.contains(&to)) {
                        swim.handle_datagram(now, &from, &bytes);
                    }
                }
                Output::Request { to, token, kind, body } => {
                    self.requests.push(Seen { at: now, by: by.clone(), what: (to.to_string(), kind) });
                    let peer = self.cores.get_mut(&to).filter(|_| !self.down.contains(&to));
                    let answer = peer.and_then(|swim| swim.handle_request(now, &info(&by), kind, &body));
                    self.core(&by).handle_answer(now, token, answer.ok_or_else(|| "no answer".to_owned()));
                }
                Output::Publish(statement) => self.published.push(Seen { at: now, by, what: statement }),
                other => self.others.push(Seen { at: now, by, what: other }),
            }
        }
    }

    fn next_output(&mut self) -> Option<(String, Output)> {
        let up = self.cores.iter_mut().filter(|(name, _)| !self.down.contains(*name));
        up.into_iter().find_map(|(name, swim)| Some((name.to_string(), swim.poll_output()?)))
    }

    pub(crate) fn count(&self, kind: DatagramKind) -> usize {
        self.datagrams.iter().filter(|seen| seen.what.1.kind == kind).count()
    }

    /// Requests of a kind by one core, by when.
    pub(crate) fn asked(&self, by: &str, request: &Request) -> Vec<Instant> {
        let kind = request.encode().0;
        self.requests.iter().filter(|seen| seen.by == by && seen.what.1 == kind).map(|seen| seen.at).collect()
    }
}
