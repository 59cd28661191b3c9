//! What is done to a stack world: to its processes, its clocks and its paths.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster_manager::{Cluster, Metadata, WallClock};
use cluster_pool::identity::authority::Validity;

use super::game::{Game, give_back};
use super::traffic;
use super::transfer::Transfer;
use super::{SHUTDOWN_PATIENCE, StackWorld};
use crate::host::Process;
use crate::host::gate::Gate;
use crate::net::{Effect, Group, LinkModel};
use crate::panics::Troubles;
use crate::scenario::{DiskFault, PathFault};
use crate::sometimes;
use crate::world::ORIGIN_UNIX_MS;

/// A connection that was closed drains for three of its probe timeouts (RFC 9000, 10.2), which may have doubled several times before.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

impl StackWorld {
    /// Kills a node: nothing of it runs any more, nothing it sent last is waited for, no goodbye.
    pub fn crash(&mut self, i: usize) {
        self.note(&format!("crash {i}"));
        self.net.unbind(self.hosts[i].addr);
        self.hosts[i].disk.go_down();
        self.compare_numbers(i);
        self.live.remove(i);
        if let Some(process) = self.hosts[i].process.take() {
            process.kill();
            self.hosts[i].ended = Some(self.origin_elapsed());
        }
    }

    /// What a node keeps on its disk is lost: its key, its certificate and its secret. It gets new ones of the same name. While it
    /// runs it does not notice.
    ///
    /// # Panics
    /// The system has no randomness for keys.
    pub fn wipe(&mut self, i: usize) {
        self.note(&format!("wipe {i}"));
        self.hosts[i].disk.wipe();
        let credentials = self.authority.issue(&self.hosts[i].name, Validity::days(ORIGIN_UNIX_MS / 1_000, 30));
        self.hosts[i].credentials = credentials.unwrap_or_else(|e| panic!("the world needs certificates: {e}"));
    }

    /// A node's disk takes so long for each writing from now on, and takes none when it is full.
    pub fn set_disk(&mut self, i: usize, slow_by: Duration, full: bool) {
        self.note(&format!("disk of {i}: {slow_by:?}, full: {full}"));
        self.hosts[i].disk.set(slow_by, full);
    }

    /// A node's disk has a fault from now on, or none.
    pub fn set_disk_fault(&mut self, i: usize, fault: Option<DiskFault>) {
        self.note(&format!("disk of {i}: {fault:?}"));
        self.hosts[i].disk.set_fault(fault);
    }

    /// What a node sent last arrives once more, be it of a process that has ended since.
    pub fn echo(&mut self, i: usize) {
        self.note(&format!("echo of {i}"));
        // What is sent is sent in the world's time.
        let _entered = self.runtime.enter();
        self.net.echo(i);
    }

    /// A node gets a new certificate, valid for so many seconds from now, and shows it from now on.
    ///
    /// # Panics
    /// The system has no randomness for keys.
    pub fn rotate(&mut self, i: usize, valid_s: u64) {
        self.note(&format!("rotate the certificate of {i}, valid for {valid_s} s"));
        let now = self.hosts[i].wall_clock.unix_ms() / 1_000;
        let validity = Validity { from_unix_s: now.saturating_sub(86_400), until_unix_s: now + valid_s };
        let credentials = self.authority.issue(&self.hosts[i].name, validity);
        let credentials = credentials.unwrap_or_else(|e| panic!("the world needs certificates: {e}"));
        let running = self.hosts[i].running().and_then(Process::cluster);
        let taken = running.map(|cluster| cluster.reload(&credentials));
        if let Some(Err(error)) = taken {
            self.troubles.add(format!("node {i} does not take its new certificate: {error}"));
        }
        self.hosts[i].credentials = credentials;
    }

    /// What others see of a node's address changes; see [`Act::Rebind`](crate::Act::Rebind).
    pub fn rebind(&mut self, i: usize) {
        self.note(&format!("rebind {i}"));
        self.net.rebind(self.hosts[i].addr);
    }

    /// Lets a node's wall clock run fast, or slow, by so many parts in a million.
    pub fn drift(&mut self, i: usize, ppm: i64) {
        self.note(&format!("drift of {i}: {ppm} ppm"));
        self.hosts[i].wall_clock.drift(ppm);
    }

    /// Tells a node to leave and to stop, as SIGTERM does. When it has, what its users still run on it ends.
    pub fn leave(&mut self, i: usize) {
        self.leave_in_words(i, None);
    }

    fn leave_in_words(&mut self, i: usize, troubles: Option<Troubles>) {
        self.note(&format!("leave {i}"));
        self.hosts[i].stopping = true;
        self.hosts[i].ended = Some(self.origin_elapsed());
        self.live.remove(i);
        self.hosts[i].process.iter().for_each(|process| process.told_to_stop.store(true, Ordering::Relaxed));
        if self.started(i).is_none() {
            // Its system has no node yet, and will start none.
            self.hosts[i].process.iter().for_each(Process::kill);
        }
        if let Some((process, cluster)) = self.started(i) {
            let (cluster, workload) = (cluster.clone(), process.workload.clone());
            process.application.spawn_here(async move {
                let report = cluster.shutdown(SHUTDOWN_PATIENCE).await;
                workload.kill();
                if let Some(troubles) = troubles.filter(|_| !report.is_clean()) {
                    troubles.add(format!("node {i} did not stop in order: {report}"));
                }
            });
        }
    }

    pub(super) fn note_leak(&self, i: usize, left: usize) {
        if left > 0 {
            self.troubles.add(format!("node {i} has stopped and left {left} tasks"));
        }
    }

    /// What the tasks of a node are that are left, where backtraces are asked for.
    fn note_origins(&self, i: usize, node: &Gate) {
        node.origins().into_iter().for_each(|origin| self.troubles.add(format!("a task that node {i} left: {origin}")));
    }

    /// Lets go of a node that has stopped, and ends what its users still run on it; says how many tasks of the node itself are
    /// left, of which there should be none.
    ///
    /// # Panics
    /// It was not told to stop.
    #[must_use = "tasks that are left are a leak"]
    pub fn reap(&mut self, i: usize) -> usize {
        let Some((node, left)) = self.let_go(i) else { return 0 };
        node.kill();
        left
    }

    /// Lets go of a node that has stopped: what is left of its tasks, and how many of these are not the transport's own.
    fn let_go(&mut self, i: usize) -> Option<(Gate, usize)> {
        assert!(self.hosts[i].stopping, "node {i} was not told to stop");
        self.compare_numbers(i);
        // With it goes the world's own handle on the node.
        let Process { node, application, workload, observer, .. } = self.hosts[i].process.take()?;
        application.kill();
        workload.kill();
        self.run_for(Duration::from_millis(10));
        let left = node.live_but_transport();
        if left > 0 {
            self.note_origins(i, &node);
        }
        self.net.unbind(self.hosts[i].addr);
        observer.kill();
        Some((node, left))
    }

    /// Stops a node's process, as SIGSTOP does: none of its tasks and timers runs, what arrives waits in its socket.
    pub fn pause(&mut self, i: usize) {
        self.note(&format!("pause {i}"));
        if let Some(process) = &self.hosts[i].process {
            [&process.node, &process.application, &process.workload].into_iter().for_each(Gate::stop);
        }
        self.note_stop(i);
    }

    /// From now on its loop does not turn.
    fn note_stop(&mut self, i: usize) {
        let now = self.origin_elapsed();
        self.hosts[i].stops.stop(now);
    }

    /// Stops a node's loop and its users' tasks, while its transport goes on and acknowledges what arrives.
    pub fn half_stop(&mut self, i: usize) {
        self.note(&format!("half stop {i}"));
        if let Some(process) = &self.hosts[i].process {
            process.node.half_stop();
            [&process.application, &process.workload].into_iter().for_each(Gate::stop);
        }
        self.note_stop(i);
    }

    /// A process that has started its node.
    fn started(&self, i: usize) -> Option<(&Process, &Cluster)> {
        let process = self.hosts[i].process.as_ref()?;
        Some((process, process.cluster()?))
    }

    /// Lets a stopped process go on: its late timers fire, and it reads what has arrived.
    pub fn resume(&mut self, i: usize) {
        self.note(&format!("resume {i}"));
        if let Some(process) = &self.hosts[i].process {
            [&process.node, &process.application, &process.workload].into_iter().for_each(Gate::resume);
        }
        let now = self.origin_elapsed();
        self.hosts[i].stops.resume(now);
    }

    /// Blocks the user's tasks on a node, while the node itself goes on.
    pub fn block_application(&mut self, i: usize) {
        self.note(&format!("block the application of {i}"));
        if let Some(process) = &self.hosts[i].process {
            [&process.application, &process.workload].into_iter().for_each(Gate::stop);
        }
    }

    /// Closes a node's links to another, as a path that changed would; they are dialled anew where they are needed.
    pub fn close_links(&mut self, i: usize, to: usize) {
        self.note(&format!("close links of {i} to {to}"));
        if let Some((_, cluster)) = self.started(i) {
            cluster.close_links(&self.hosts[to].name);
        }
    }

    /// Lets a node send another so many bytes on a stream of its users.
    pub fn transfer(&mut self, from: usize, to: usize, bytes: u64) {
        self.note(&format!("transfer {bytes} B {from} -> {to}"));
        if let Some((process, cluster)) = self.started(from) {
            let transfer = Transfer { from, to, begun: self.origin_elapsed() };
            let (cluster, to) = (cluster.clone(), self.hosts[to].name.clone());
            process.application.spawn_here(self.transfers.clone().run(transfer, cluster, to, bytes));
        }
    }

    /// Lets a node send another so many messages at once; the ledger keeps their ends.
    pub fn burst(&mut self, from: usize, to: usize, messages: u64) {
        self.note(&format!("burst of {messages} {from} -> {to}"));
        if let Some((process, cluster)) = self.started(from).filter(|_| !self.hosts[from].stopping) {
            let (to, run) = (self.hosts[to].name.clone(), (from, self.hosts[from].boots));
            let burst = traffic::burst(cluster.clone(), to, self.ledger.clone(), run, messages);
            process.workload.spawn_here(burst);
        }
    }

    /// Lets two nodes play ping-pong over their peers, so many rounds.
    pub fn ping_pong(&mut self, from: usize, to: usize, rounds: u64) {
        self.note(&format!("ping-pong {from} - {to}, {rounds} rounds"));
        let names = [from, to].map(|i| self.hosts[i].name.clone());
        if let (Some((server, serving)), Some((returner, returning))) = (self.started(from), self.started(to)) {
            let [of_server, of_returner] = names;
            let game = Game { from, to, rounds };
            let counts = |i: usize| (self.ledger.counts.clone(), (i, self.hosts[i].boots));
            let play = self.games.clone().play(game, serving.clone(), of_returner, counts(from));
            server.application.spawn_here(play);
            let give_back = give_back(returning.clone(), (from, of_server), counts(to));
            returner.application.spawn_here(give_back);
        }
    }

    /// How the peers of each running node are, in words.
    #[must_use]
    pub fn peer_reports(&self) -> Vec<String> {
        let of = |i: usize| {
            let peers = self.process(i).cluster().map_or_else(Vec::new, |cluster| cluster.peers());
            peers.into_iter().map(move |report| format!("of node {i}: {report}"))
        };
        self.running().into_iter().flat_map(of).collect()
    }

    /// Ends what the users run on all nodes, and their clients.
    pub(crate) fn end_workloads(&self) {
        let processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
        processes.for_each(|process| process.workload.kill());
        self.end_clients();
    }

    /// Ends the world in order: everybody leaves at once on a network without faults. Says in words what went wrong in the world,
    /// and what is left that should not be: tasks of nodes that have stopped, transfers without an end, tasks that belong to no
    /// node.
    pub fn stop_all(&mut self) -> Vec<String> {
        self.heal();
        self.set_link(LinkModel::lan());
        let running: Vec<u64> = self.hosts.iter().map(|host| if host.is_running() { host.boots } else { 0 }).collect();
        for what in self.ledger.balance(|(node, boots)| running[node] != boots) {
            self.troubles.add(format!("the ledger does not balance: {what}"));
        }
        sometimes!(self.ledger.sent_and_arrived().1 > 100, "a hundred things of the traffic are known to have arrived");
        self.end_workloads();
        for Game { from, to, rounds } in self.games.unfinished() {
            self.troubles.add(format!("the game of {rounds} rounds between {from} and {to} was not played to its end"));
        }
        for transfer in self.transfers.unfinished() {
            // One whose sender or receiver has ended since has no end to wait for.
            let ends = [transfer.from, transfer.to].map(|i| (self.hosts[i].ended, self.hosts[i].is_running()));
            if ends.iter().all(|(ended, runs)| *runs && ended.is_none_or(|at| at < transfer.begun)) {
                self.troubles.add(format!("a transfer from {} to {} did not end", transfer.from, transfer.to));
            }
        }
        let there: Vec<usize> = (0..self.hosts.len()).filter(|&i| self.hosts[i].process.is_some()).collect();
        for &i in &there {
            self.resume(i);
            if !self.hosts[i].stopping {
                self.leave_in_words(i, Some(self.troubles.clone()));
            }
        }
        self.run_for(SHUTDOWN_PATIENCE + Duration::from_secs(1));
        let mut draining = Vec::new();
        for i in there {
            if let Some((node, left)) = self.let_go(i) {
                self.note_leak(i, left);
                draining.push((i, node));
            }
        }
        self.run_until(DRAINED_WITHIN, |_| draining.iter().all(|(_, node)| node.live() == 0));
        for (i, node) in draining.iter().filter(|(_, node)| node.live() > 0) {
            self.note_leak(*i, node.live());
            self.note_origins(*i, node);
            node.kill();
        }
        self.run_for(Duration::from_millis(1));
        // The network's own task is the one that stays.
        let strays = self.runtime.metrics().num_alive_tasks().saturating_sub(1);
        if strays > 0 {
            self.troubles.add(format!("{strays} tasks belong to no node: `SimNode::spawn` is the way to spawn"));
        }
        self.escaped.all().into_iter().take(1).for_each(|what| self.troubles.add(what));
        self.troubles.all()
    }

    /// Sets a node's wall clock forward or back.
    pub fn step_wall_clock(&mut self, i: usize, by_ms: i64) {
        self.note(&format!("step the wall clock of {i} by {by_ms} ms"));
        self.hosts[i].wall_clock.step(by_ms);
    }

    /// Cuts every path between the two groups, both ways.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        self.cut_one_way(left, right);
        self.cut_one_way(right, left);
    }

    /// Nothing from `from` reaches `to` any more; the other direction stays.
    pub fn cut_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.note(&format!("cut {from:?} -> {to:?}"));
        self.net.cut_one_way(Group::of(from.iter().copied()), Group::of(to.iter().copied())).keep();
    }

    /// Something is wrong with the paths from the first to the second, until [`mend`](Self::mend).
    pub fn fault(&mut self, id: u32, from: &[usize], to: &[usize], fault: &PathFault) {
        self.note(&format!("fault {id}: {fault:?} {from:?} -> {to:?}"));
        let (from, to) = (Group::of(from.iter().copied()), Group::of(to.iter().copied()));
        self.faults.insert(id, self.net.rule(from, to, Effect::from(fault)));
    }

    /// Mends one fault.
    pub fn mend(&mut self, id: u32) {
        self.note(&format!("mend {id}"));
        let _entered = self.runtime.enter();
        self.faults.remove(&id);
    }

    /// Changes what a node says about itself, by its owner.
    pub fn set_metadata(&mut self, i: usize, metadata: Metadata) {
        self.note(&format!("metadata of {i}: {metadata:?}"));
        if let Some((process, cluster)) = self.started(i).filter(|_| !self.hosts[i].stopping) {
            let cluster = cluster.clone();
            process.application.spawn_here(async move { cluster.set_metadata(metadata).await });
        }
    }

    /// Lets a node broadcast a message of its user.
    pub fn broadcast(&mut self, i: usize, payload: Vec<u8>) {
        self.note(&format!("broadcast {} B of {i}", payload.len()));
        if let Some((process, cluster)) = self.started(i).filter(|_| !self.hosts[i].stopping) {
            let (cluster, troubles) = (cluster.clone(), self.troubles.clone());
            process.application.spawn_here(async move {
                if let Err(error) = cluster.broadcast(payload).await {
                    troubles.add(format!("a broadcast of node {i} was not taken: {error}"));
                }
            });
        }
    }

    /// Mends every path.
    pub fn heal(&mut self) {
        self.note("heal");
        let _entered = self.runtime.enter();
        self.faults.clear();
        self.net.heal();
    }

    /// Makes all paths like `model`.
    pub fn set_link(&mut self, model: LinkModel) {
        self.note(&format!("links {model:?}"));
        self.net.set_model(model);
    }
}
