//! The command line: what can be asked, with its help.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cluster_manager::{ClusterName, JoinSeed, NodeId, Profile};

use crate::discover::Discover;

/// Who is in the cluster and alive: an agent, and the tools around it.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be a member of a cluster until told to stop (SIGTERM, SIGINT or `cluster leave`).
    Agent(Box<AgentArgs>),
    /// Show the members that an agent knows.
    Members(MembersArgs),
    /// Say why a member is held to be what it is: who heard it when, who accuses it, what would change that.
    Explain(ExplainArgs),
    /// Say whether an agent is ready for work; fails where it is not.
    Health(HealthArgs),
    /// Print an agent's events as JSON lines, from now on.
    Events(AdminArgs),
    /// Send a text to a member, which writes it among its events; say how that ended.
    Send(SendArgs),
    /// Ask a member to send a text back: whether it answers, from here.
    Request(RequestArgs),
    /// Tell an agent to leave its cluster politely and end.
    Leave(AdminArgs),
    /// Make and revoke the keys and certificates of a cluster.
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Look at an agent's settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print what a shell needs to complete this command line.
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Watch real agents on this machine find each other, lose one, and say goodbye to another.
    Demo(DemoArgs),
}

/// Where a setting is given more than once, the flag wins over the environment, and that over the file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AgentArgs {
    /// This node's name: 1 to 64 of a-z A-Z 0-9 . _ -
    #[arg(long, env = "CLUSTER_NAME", value_name = "NAME")]
    pub(crate) name: Option<NodeId>,
    /// The UDP address to bind; port 0 picks a free one
    #[arg(long, env = "CLUSTER_BIND", value_name = "IP:PORT")]
    pub(crate) bind: Option<SocketAddr>,
    /// The address others are told to dial, if it is not the bound one
    #[arg(long, env = "CLUSTER_ADVERTISE", value_name = "IP:PORT")]
    pub(crate) advertise: Option<SocketAddr>,
    /// A member to join through; give several, any one is enough. A name is resolved anew in each attempt
    #[arg(long, env = "CLUSTER_JOIN", value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) join: Vec<JoinSeed>,
    /// Where to look for others, for as long as the agent lives: dns:NAME:PORT, srv:NAME or file:PATH
    #[arg(long, env = "CLUSTER_DISCOVER", value_name = "WHERE", value_delimiter = ',')]
    pub(crate) discover: Vec<Discover>,
    /// The directory with the keys, as made by `cluster pki init`
    #[arg(long, env = "CLUSTER_PKI", value_name = "DIR")]
    pub(crate) pki: Option<PathBuf>,
    /// Answer `cluster members`, `explain` and the others here, and /metrics, /healthz, /readyz; loopback only
    #[arg(long, env = "CLUSTER_ADMIN", value_name = "IP:PORT", value_parser = loopback)]
    pub(crate) admin: Option<SocketAddr>,
    /// Which network the cluster lives in: lan, wan or local [default: lan]
    #[arg(long, env = "CLUSTER_PROFILE", value_name = "PROFILE")]
    pub(crate) profile: Option<Profile>,
    /// The failure domain this node is in
    #[arg(long, env = "CLUSTER_ZONE", value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// Something this node says about itself; may be repeated
    #[arg(long, env = "CLUSTER_META", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = key_value)]
    pub(crate) meta: Vec<(String, String)>,
    /// Remember the members here, to find them again after a restart without seeds
    #[arg(long, env = "CLUSTER_STATE", value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Read settings from this TOML file; its keys are the long flags' names
    #[arg(long, env = "CLUSTER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to write to standard output [default: text]
    #[arg(long, env = "CLUSTER_EVENTS", value_name = "FORMAT")]
    pub(crate) events: Option<EventFormat>,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum EventFormat {
    /// One JSON object a line
    Json,
    /// Sentences for people
    #[default]
    Text,
    /// Nothing
    None,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AdminArgs {
    /// The agent's admin address
    #[arg(long, env = "CLUSTER_ADMIN", value_name = "IP:PORT", value_parser = loopback)]
    pub(crate) admin: SocketAddr,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Print a JSON array instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// Whom; the agent's own name is one, too
    pub(crate) node: NodeId,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Print a JSON object instead of sentences
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Ask only whether the agent works at all
    #[arg(long)]
    pub(crate) live: bool,
    /// Print a JSON object instead of sentences
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SendArgs {
    /// To whom
    pub(crate) node: NodeId,
    /// What
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Before or after what else waits
    #[arg(long, value_name = "PRIORITY", default_value = "normal")]
    pub(crate) priority: SendPriority,
    /// How long to wait for the outcome; after that it is not sent any more
    #[arg(long, value_name = "SPAN", default_value = "5s")]
    pub(crate) timeout: humantime::Duration,
}

/// Which texts go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SendPriority {
    /// Before the others
    High,
    /// The usual one
    Normal,
    /// When nothing else waits
    Low,
}

impl SendPriority {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RequestArgs {
    /// Whom
    pub(crate) node: NodeId,
    /// What comes back
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// How long to wait for the reply
    #[arg(long, value_name = "SPAN", default_value = "5s")]
    pub(crate) timeout: humantime::Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether an agent could be started with a file, and what is wrong with it where not
    Check {
        /// The TOML file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make a certificate authority for a cluster
    Init {
        /// The directory; made if it is not there
        dir: PathBuf,
        /// The cluster's name
        #[arg(long, value_name = "NAME")]
        cluster: ClusterName,
    },
    /// Make a key and a certificate for a node
    Issue {
        /// The directory of `pki init`
        dir: PathBuf,
        /// The node's name
        #[arg(long, value_name = "NAME")]
        name: NodeId,
    },
    /// Let a node or a client in no more, whatever it shows; agents read this on SIGHUP
    #[command(group = clap::ArgGroup::new("whom").required(true).args(["name", "client"]))]
    Revoke {
        /// The directory of `pki init`
        dir: PathBuf,
        /// The node's name
        #[arg(long, value_name = "NAME")]
        name: Option<NodeId>,
        /// The client's name
        #[arg(long, value_name = "NAME")]
        client: Option<NodeId>,
    },
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DemoArgs {
    /// How many agents to start
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(3..=64))]
    pub(crate) nodes: u16,
    /// Write the timeline to standard error and the result as one JSON line to standard output
    #[arg(long)]
    pub(crate) json: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr = text.parse().map_err(|_unparsable| "it must be IP:PORT, as in 127.0.0.1:8001".to_owned())?;
    if addr.ip().is_loopback() {
        Ok(addr)
    } else {
        Err("the admin address has no authentication, so it must be a loopback address: 127.0.0.0/8 or ::1".into())
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    if key.is_empty() { Err("the key is empty".into()) } else { Ok((key.to_owned(), value.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_says_everything() {
        // Wrapped as for a terminal of this width, whatever the test runs in.
        const WIDTH: usize = 100;
        let mut command = Cli::command().term_width(WIDTH);
        let mut help = command.render_long_help().to_string();
        for name in ["agent", "members", "explain", "health", "send", "request", "events", "leave", "demo"] {
            let mut sub = command.find_subcommand(name).expect("it exists").clone().term_width(WIDTH);
            help += &format!("\n=== {name} ===\n{}", sub.render_help());
        }
        insta::assert_snapshot!(help);
    }

    #[test]
    fn bad_arguments_are_named() {
        let error = |args: &[&str]| {
            let args = ["cluster"].iter().chain(args);
            Cli::try_parse_from(args).expect_err("must be refused").to_string()
        };
        assert!(error(&["agent", "--admin", "10.0.0.1:80"]).contains("must be a loopback address"));
        assert!(error(&["agent", "--name", "a/b"]).contains("'/' at byte 1 of the name"));
        assert!(error(&["agent", "--profile", "moon"]).contains("use lan, wan or local"));
        assert!(error(&["agent", "--meta", "zone"]).contains("it must be KEY=VALUE"));
        assert!(error(&["agent", "--discover", "consul:x"]).contains("use dns:NAME:PORT"));
        assert!(error(&["send", "b", "hi", "--admin", "127.0.0.1:1", "--timeout", "soon"]).contains("--timeout"));
        assert!(error(&["pki", "revoke", "dir"]).contains("<--name <NAME>|--client <NAME>>"));
        assert!(error(&["demo", "--nodes", "2"]).contains("2 is not in 3..=64"));
    }
}
