//! Clients in a stack world: programs on machines of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster_pool::identity::authority::Validity;
use cluster_pool::identity::{Identity, Role};
use cluster_types::NodeId;

use super::StackWorld;
use crate::host::SimWallClock;
use crate::simulation::{ClientProgram, SimClient};
use crate::world::{ORIGIN_UNIX_MS, cluster_name};

impl StackWorld {
    /// Starts a client that knows so many nodes.
    pub(crate) fn start_client(&mut self, nodes: usize, program: &ClientProgram) {
        let index = self.clients.len();
        self.note(&format!("client {index} starts"));
        let name = NodeId::new(&format!("client{index}")).unwrap_or_else(|e| unreachable!("letters and digits: {e}"));
        let identity = Identity { cluster: cluster_name(), role: Role::Client(name) };
        let credentials = self.authority.issue_identity(identity, Validity::days(ORIGIN_UNIX_MS / 1_000, 30));
        let tasks = self.gate(format!("client {index}"), self.seed.derive("order of client", index as u64));
        let client = SimClient {
            index,
            nodes,
            shared: self.shared.clone(),
            trace: self.trace.clone(),
            seed: self.seed.derive("client", index as u64),
            origin: self.origin,
            tasks: tasks.clone(),
            net: self.net.clone(),
            credentials: credentials.unwrap_or_else(|e| panic!("the world needs certificates: {e}")),
            wall_clock: Arc::new(SimWallClock::new(self.runtime.handle().clone(), self.origin)),
            resolver: Arc::new(self.names.clone()),
            connected: Arc::default(),
        };
        let ended = Arc::new(AtomicBool::new(false));
        let (run, errors, noted) = (program(client), self.workload_errors.clone(), Arc::clone(&ended));
        tasks.spawn_here(async move {
            if let Some(error) = run.await {
                errors.add(format!("of client {index}: {error}"));
            }
            noted.store(true, Ordering::Relaxed);
        });
        self.clients.push((tasks, ended));
    }

    /// Ends all clients; which of them had not ended is an error of theirs.
    pub(super) fn end_clients(&self) {
        for (index, (tasks, ended)) in self.clients.iter().enumerate() {
            if !ended.load(Ordering::Relaxed) && !tasks.is_dead() {
                let what = "it had not ended when the run was over: give the run a longer end (`then_quiet`), or its requests a time-out";
                self.workload_errors.add(format!("of client {index}: {what}"));
            }
            tasks.kill();
        }
    }
}
