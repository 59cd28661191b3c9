//! The agent's settings: flags before environment before file, then checked once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cluster_manager::config::file::{LinkSettings, MembershipSettings, PeerSettings, PoolSettings, Tuning};
use cluster_manager::{ClusterConfig, JoinSeed, NodeId, Pki, Profile};
use serde::Deserialize;

use crate::Failure;
use crate::cli::{AgentArgs, EventFormat};
use crate::discover::Discover;

/// Everything an agent needs to know, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: NodeId,
    pub(crate) join: Vec<JoinSeed>,
    pub(crate) discover: Vec<Discover>,
    pub(crate) pki: PathBuf,
    pub(crate) admin: Option<SocketAddr>,
    /// Everything that the node itself needs, checked.
    pub(crate) config: ClusterConfig,
    pub(crate) state: Option<PathBuf>,
    pub(crate) events: EventFormat,
}

/// The file, as written. Every key is the name of a flag.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    bind: Option<SocketAddr>,
    advertise: Option<SocketAddr>,
    #[serde(default)]
    join: Vec<JoinSeed>,
    #[serde(default)]
    discover: Vec<Discover>,
    pki: Option<PathBuf>,
    admin: Option<SocketAddr>,
    profile: Option<String>,
    zone: Option<String>,
    #[serde(default)]
    meta: std::collections::BTreeMap<String, String>,
    state: Option<PathBuf>,
    events: Option<String>,
    #[serde(default)]
    membership: MembershipSettings,
    #[serde(default)]
    links: LinkSettings,
    #[serde(default)]
    pool: PoolSettings,
    #[serde(default)]
    peers: PeerSettings,
}

impl Settings {
    /// Merges the command line and environment (which clap has merged already) with the file.
    pub(crate) fn load(args: AgentArgs) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        Self::merge(args, file)
    }

    fn merge(args: AgentArgs, file: File) -> Result<Self, Failure> {
        let tuning = Tuning { membership: file.membership, links: file.links, pool: file.pool, peers: file.peers };
        let parsed = |what: &str, text: Option<String>| match text {
            Some(text) => text.parse().map(Some).map_err(|e: cluster_manager::IdError| in_file(what, &e)),
            None => Ok(None),
        };
        let file_name: Option<NodeId> = parsed("name", file.name)?;
        let file_profile: Option<Profile> =
            file.profile.map(|text| text.parse().map_err(|e| in_file("profile", &e))).transpose()?;
        let file_events = file.events.map(|text| event_format(&text)).transpose()?;
        let required = |flag: &str| {
            Failure::usage(format!(
                "--{flag} is missing; give it as a flag, in the environment, or in the --config file"
            ))
        };
        let admin = args.admin.or(file.admin);
        if let Some(admin) = admin.filter(|admin| !admin.ip().is_loopback()) {
            return Err(in_file("admin", &format!("{admin} is not a loopback address")));
        }
        let mut metadata: Vec<(String, String)> = file.meta.into_iter().collect();
        metadata.extend(args.meta);
        metadata.extend(args.zone.or(file.zone).map(|zone| ("zone".to_owned(), zone)));
        let name = args.name.or(file_name).ok_or_else(|| required("name"))?;
        let mut config = ClusterConfig::new(args.profile.or(file_profile).unwrap_or_default());
        config.bind = args.bind.or(file.bind).ok_or_else(|| required("bind"))?;
        config.advertise = args.advertise.or(file.advertise);
        config.set_metadata(metadata).map_err(|e| Failure::usage(format!("the metadata (--meta, --zone): {e}")))?;
        let invalid = |e| Failure::usage(format!("the --config file: {e}"));
        tuning.apply(&mut config).map_err(invalid)?;
        config.check().map_err(invalid)?;
        Ok(Self {
            name,
            config,
            join: if args.join.is_empty() { file.join } else { args.join },
            discover: if args.discover.is_empty() { file.discover } else { args.discover },
            pki: args.pki.or(file.pki).ok_or_else(|| required("pki"))?,
            admin,
            state: args.state.or(file.state),
            events: args.events.or(file_events).unwrap_or_default(),
        })
    }
}

/// Reads and checks a file as an agent would; what it says in a line. What it leaves to flags may be missing.
pub(crate) fn check(path: &Path) -> Result<String, Failure> {
    let file = read(path)?;
    let unsaid = |key: &str| format!("no {key}");
    let missing: Vec<String> =
        [("name", file.name.is_none()), ("bind", file.bind.is_none()), ("pki", file.pki.is_none())]
            .into_iter()
            .filter(|(_, missing)| *missing)
            .map(|(key, _)| unsaid(key))
            .collect();
    // Stands in for what the command line will say.
    let args = AgentArgs {
        name: file.name.is_none().then(|| "unnamed".parse().ok()).flatten(),
        bind: file.bind.is_none().then(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        pki: file.pki.is_none().then(PathBuf::new),
        ..AgentArgs::default()
    };
    let settings = Settings::merge(args, file)?;
    check_places(&settings, &missing)?;
    let mut words = vec![format!("pauses of {:?} are forgiven", settings.config.swim.budget.pause())];
    words.push(format!("a crash is declared after {:?}", settings.config.swim.budget.total()));
    words.extend(missing.into_iter().map(|missing| format!("{missing} in it, so a flag must say it")));
    Ok(words.join("; "))
}

/// What only starting would show: an address that others cannot dial, keys that are not there, a directory that is none.
fn check_places(settings: &Settings, missing: &[String]) -> Result<(), Failure> {
    let config = &settings.config;
    match config.advertise {
        None if config.bind.ip().is_unspecified() => {
            return Err(in_file(
                "bind",
                &format!("{} cannot be dialled by others: say which address in advertise", config.bind),
            ));
        }
        Some(addr) if addr.ip().is_unspecified() || addr.port() == 0 => {
            return Err(in_file("advertise", &format!("{addr} cannot be dialled")));
        }
        _ => {}
    }
    let says = |key: &str| !missing.iter().any(|unsaid| unsaid.ends_with(key));
    if says("pki") {
        let pki = Pki::new(&settings.pki);
        let cluster = pki.cluster().map_err(|e| in_file("pki", &e))?;
        let issued = settings.pki.join(format!("{}.crt", settings.name)).exists();
        if says("name") && issued {
            pki.load(&settings.name).map_err(|e| in_file("pki", &e))?;
        }
        pki.revocations().map_err(|e| in_file(&format!("pki (cluster {cluster})"), &e))?;
    }
    if let Some(dir) =
        settings.state.as_ref().and_then(|state| state.parent()).filter(|dir| !dir.as_os_str().is_empty())
        && !dir.is_dir()
    {
        return Err(in_file("state", &format!("there is no directory {}", dir.display())));
    }
    Ok(())
}

fn in_file(key: &str, problem: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("the --config file's {key}: {problem}"))
}

fn event_format(text: &str) -> Result<EventFormat, Failure> {
    match text {
        "json" => Ok(EventFormat::Json),
        "text" => Ok(EventFormat::Text),
        "none" => Ok(EventFormat::None),
        other => Err(in_file("events", &format!("{other:?} is not a format: use json, text or none"))),
    }
}

fn read(path: &Path) -> Result<File, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::usage(format!("the --config file {} cannot be read: {e}", path.display())))?;
    toml::from_str(&text).map_err(|e| Failure::usage(format!("the --config file {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(args: AgentArgs, file: &str) -> Result<Settings, String> {
        Settings::merge(args, toml::from_str(file).unwrap()).map_err(|e| e.to_string())
    }

    const COMPLETE: &str = r#"
        name = "from-file"
        bind = "127.0.0.1:1"
        join = ["127.0.0.1:2"]
        pki = "keys"
        profile = "wan"
        zone = "a"
        meta = { role = "db" }
        events = "json"
        [peers]
        queue_len_max = 7
    "#;

    #[test]
    fn a_file_is_enough_and_flags_win_over_it() {
        let settings = merge(AgentArgs::default(), COMPLETE).unwrap();
        assert_eq!(settings.name.as_str(), "from-file");
        assert_eq!(settings.config.swim.budget, ClusterConfig::new(Profile::Wan).swim.budget);
        assert_eq!(settings.config.metadata.iter().collect::<Vec<_>>(), [("role", "db"), ("zone", "a")]);
        assert_eq!(settings.config.peers.queue_len_max, 7);
        let flags = AgentArgs {
            name: Some("from-flag".parse().unwrap()),
            join: vec!["127.0.0.1:3".parse().unwrap()],
            events: Some(EventFormat::None),
            ..AgentArgs::default()
        };
        let settings = merge(flags, COMPLETE).unwrap();
        assert_eq!(settings.name.as_str(), "from-flag");
        assert_eq!(settings.join, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!(settings.events, EventFormat::None);
        assert_eq!(settings.config.bind, "127.0.0.1:1".parse().unwrap());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let error = |file: &str| merge(AgentArgs::default(), file).unwrap_err();
        assert!(error("").starts_with("--name is missing"));
        assert!(error("name = \"a\"").starts_with("--bind is missing"));
        assert!(error("name = \"a b\"").contains("the --config file's name: ' ' at byte 1"));
        assert!(error("profile = \"x\"").contains("use lan, wan or local"));
        assert!(error("events = \"x\"").contains("use json, text or none"));
        assert!(error("admin = \"10.0.0.1:1\"").contains("is not a loopback address"));
        let nodes = "name = 'a'\nbind = '127.0.0.1:1'\npki = 'x'\n";
        assert!(
            error(&format!("{nodes}[membership]\nobservers = 0")).contains("[membership] observers = 0: it must be")
        );
        let typo = toml::from_str::<File>("nmae = \"a\"").unwrap_err().to_string();
        assert!(typo.contains("unknown field `nmae`"), "{typo}");
    }
}
