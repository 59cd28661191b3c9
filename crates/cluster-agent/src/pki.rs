//! `cluster pki`: the keys and certificates of a cluster.

use std::io::Write;

use cluster_manager::pool::Role;
use cluster_manager::{Pki, PkiError};

use crate::Failure;
use crate::cli::PkiCommand;

pub(crate) fn run(command: PkiCommand) -> Result<(), Failure> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let done = match command {
        PkiCommand::Init { dir, cluster } => {
            let made = Pki::new(&dir).init(cluster.clone(), now);
            made.map(|()| format!("made an authority for cluster {cluster} in {}; keep ca.key safe", dir.display()))
        }
        PkiCommand::Revoke { dir, name, client } => {
            let holder = name.map(Role::Node).or_else(|| client.map(Role::Client));
            let holder = holder.ok_or_else(|| Failure::usage("give --name or --client"))?;
            let made = Pki::new(&dir).revoke(&holder);
            let (Role::Node(name) | Role::Client(name)) = &holder;
            made.map(|new| match new {
                true => format!(
                    "{name} is revoked in {}: send SIGHUP to every agent, and copy the file to those that have one of their own",
                    dir.join("revoked").display()
                ),
                false => format!("{name} was revoked before"),
            })
        }
        PkiCommand::Issue { dir, name } => {
            let made = Pki::new(&dir).issue(&name, now);
            made.map(|()| format!("issued {}", dir.join(format!("{name}.crt")).display()))
        }
    };
    let line = done.map_err(|e| Failure::from_error(&e))?;
    // A closed standard output is no reason to fail: the files are made.
    let _ = writeln!(std::io::stdout(), "{line}");
    Ok(())
}

/// What to say when an agent finds no keys: the two commands that make them.
pub(crate) fn advice(error: &PkiError, name: &str) -> Failure {
    let (PkiError::NoAuthority { dir } | PkiError::CannotIssue { dir, .. }) = error else {
        return Failure::from_error(error);
    };
    let dir = dir.display();
    Failure::new(format!(
        "{error}\nmake an authority once, and a certificate for this node:\n  \
         cluster pki init {dir} --cluster NAME\n  cluster pki issue {dir} --name {name}"
    ))
}
