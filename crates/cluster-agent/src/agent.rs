//! `cluster agent`: a member of a cluster until told to stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cluster_manager::{Cluster, Events, JoinSeed, Pki, Profile, ShutdownReport, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, broadcast};

use crate::admin::Admin;
use crate::cli::AgentArgs;
use crate::events::{Ready, Writer};
use crate::settings::Settings;
use crate::texts::{self, Heard};
use crate::{Failure, pki, reload};

/// A shutdown ends within this, whoever answers: 5 s for the farewell, 2 s for the connections. With the admin server and the
/// last line of output it stays below the 8 s that are promised.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(7);

pub(crate) async fn run(args: Box<AgentArgs>) -> Result<ExitCode, Failure> {
    let settings = Settings::load(*args)?;
    let mut stop = Stop::new()?;
    let hang_up =
        signal(SignalKind::hangup()).map_err(|e| Failure::new(format!("signals cannot be listened to: {e}")))?;
    let listener = match settings.admin {
        Some(addr) => Some(Admin::bind(addr).await?),
        None => None,
    };
    let Started { cluster, events, texts, heard } = start(&settings).await?;
    let leave = Arc::new(Notify::new());
    let start = |listener| Admin::start(listener, cluster.clone(), Arc::clone(&leave), texts.clone());
    let admin = listener.map(start).transpose()?;
    let ready =
        Ready { node: settings.name.clone(), bind: cluster.local_addr(), admin: admin.as_ref().map(Admin::local_addr) };
    let writer = Writer::start(settings.events, ready, events, heard)
        .map_err(|e| Failure::new(format!("the output thread cannot be started: {e}")))?;

    let mut seeds = settings.join.clone();
    seeds.extend(cluster.remembered());
    seeds.retain(|seed| *seed != JoinSeed::Addr(cluster.advertised_addr()));
    let joining = async {
        if !seeds.is_empty() {
            // Ends when joined, or with the node.
            let _ = cluster.join_patiently(seeds).await;
        }
        std::future::pending::<()>().await
    };
    let outcome = tokio::select! {
        biased;
        () = stop.asked() => Ok(()),
        () = leave.notified() => Ok(()),
        holder = cluster.name_lost() => Err(name_taken(&settings, holder)),
        () = reload::on(hang_up, &settings, &cluster) => Ok(()),
        () = joining => Ok(()),
    };
    let report = tokio::select! {
        biased;
        () = stop.asked() => return Ok(ExitCode::FAILURE),
        report = shut_down(&cluster, admin, outcome.is_ok()) => report,
    };
    if let Some(report) = report {
        writer.finish(report).await;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// A node that runs, and what it says, from the first word on.
struct Started {
    cluster: Cluster,
    events: Events,
    texts: broadcast::Sender<Arc<Heard>>,
    heard: broadcast::Receiver<Arc<Heard>>,
}

async fn start(settings: &Settings) -> Result<Started, Failure> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let credentials = Pki::new(&settings.pki)
        .load_or_issue(&settings.name, now)
        .map_err(|e| pki::advice(&e, settings.name.as_str()))?;
    let revoked = Pki::new(&settings.pki).revocations().map_err(|e| Failure::from_error(&e))?;
    let (router, texts) = texts::router()?;
    let heard = texts.subscribe();
    let builder =
        Cluster::builder(credentials, Profile::Lan).config(settings.config.clone()).revoked(revoked).router(router);
    let builder = settings.discover.iter().fold(builder, |builder, discover| discover.add_to(builder));
    let builder = match &settings.state {
        Some(path) => builder.state(path),
        None => builder,
    };
    let started = builder.start_subscribed().await.map_err(|e| match e {
        StartError::NotDialable { .. } => Failure::usage(format!("{e}: give it as --advertise IP:PORT")),
        other => Failure::from_error(&other),
    });
    let (cluster, events) = started?;
    Ok(Started { cluster, events, texts, heard })
}

fn name_taken(settings: &Settings, holder: std::net::SocketAddr) -> Failure {
    Failure::new(format!(
        "the name {} is taken: another live process at {holder} has it; choose another --name, or stop that process first",
        settings.name
    ))
}

/// A node whose name is another's must not say goodbye in that name: it just goes.
async fn shut_down(cluster: &Cluster, admin: Option<Admin>, politely: bool) -> Option<ShutdownReport> {
    let report = match politely {
        true => Some(cluster.shutdown(SHUTDOWN_TIMEOUT).await),
        false => None,
    };
    if let Some(admin) = admin {
        admin.stop().await;
    }
    report
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::new(format!("signals cannot be listened to: {e}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
