//! `cluster demo`: real agents on this machine find each other, one is killed and noticed, one leaves politely, and nobody
//! alive is ever declared failed.

mod child;
mod story;

use std::io::Write;
use std::time::Duration;

use cluster_manager::Pki;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;
use crate::cli::DemoArgs;
use story::Story;

/// What the demo measured, in milliseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    demo: &'static str,
    nodes: u16,
    /// From the first start until everybody knew everybody.
    joined_ms: u64,
    /// From the kill until the first survivor reported it.
    failed_first_ms: u64,
    /// From the kill until every survivor had reported it.
    failed_all_ms: u64,
    /// From the signal until everybody had seen the farewell.
    left_all_ms: u64,
    /// Reports that a live agent had failed.
    false_failures: u64,
}

pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::new(format!("signals cannot be listened to: {e}")));
    let [mut interrupt, mut terminate, mut hang_up] =
        [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
    let interrupted = async {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    };
    tokio::select! {
        biased;
        () = interrupted => Err(Failure::new("interrupted; every agent was ended")),
        outcome = play(args) => outcome,
    }
}

async fn play(args: DemoArgs) -> Result<(), Failure> {
    let dir = tempfile::tempdir().map_err(|e| Failure::new(format!("no temporary directory: {e}")))?;
    let pki = dir.path().join("pki");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let name = "demo".parse().map_err(|e| Failure::from_error(&e))?;
    Pki::new(&pki).init(name, now).map_err(|e| Failure::from_error(&e))?;

    let mut story = Story::new(args, pki);
    let figures = story.play().await;
    // Whatever happened, nothing is left behind: first the processes, then the directory.
    story.end_everybody().await;
    let figures = figures?;
    if args.json {
        let line = serde_json::to_string(&figures).map_err(|e| Failure::new(e.to_string()))?;
        writeln!(std::io::stdout(), "{line}").map_err(|e| Failure::new(format!("standard output: {e}")))?;
    } else {
        story.say(&summary(&figures));
    }
    Ok(())
}

fn summary(figures: &Figures) -> String {
    let Figures { nodes, joined_ms, failed_first_ms, failed_all_ms, left_all_ms, .. } = figures;
    format!(
        "ok: {nodes} agents met within {joined_ms} ms, noticed a killed one after {failed_first_ms} to {failed_all_ms} ms, \
         saw a farewell within {left_all_ms} ms, and never declared a live one failed"
    )
}

/// Patience for each act. Far above what it should take, so that only what is broken runs into it.
const MEET_PATIENCE: Duration = Duration::from_secs(20);
const NOTICE_PATIENCE: Duration = Duration::from_secs(30);
const FAREWELL_PATIENCE: Duration = Duration::from_secs(10);
