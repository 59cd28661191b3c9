//! `--discover`: where to look for others, in one word.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cluster_manager::{ClusterBuilder, DnsDiscovery, FileDiscovery};
use serde::Deserialize;

/// A discovery as its user gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Discover {
    /// `dns:NAME:PORT`
    Addresses(String, u16),
    /// `srv:NAME`
    Services(String),
    /// `file:PATH`
    File(PathBuf),
}

/// A text that names no discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownDiscovery(String);

impl fmt::Display for UnknownDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} names no discovery: use dns:NAME:PORT (addresses of a name), srv:NAME (services of a name) or file:PATH (a list that \
             something else writes)",
            self.0
        )
    }
}

impl std::error::Error for UnknownDiscovery {}

impl FromStr for Discover {
    type Err = UnknownDiscovery;

    fn from_str(text: &str) -> Result<Self, UnknownDiscovery> {
        let wrong = || UnknownDiscovery(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "dns" => {
                let (name, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
                if name.is_empty() { Err(wrong()) } else { Ok(Self::Addresses(name.to_owned(), port)) }
            }
            "srv" if !rest.is_empty() => Ok(Self::Services(rest.to_owned())),
            "file" if !rest.is_empty() => Ok(Self::File(rest.into())),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Discover {
    type Error = UnknownDiscovery;

    fn try_from(text: String) -> Result<Self, UnknownDiscovery> {
        text.parse()
    }
}

impl Discover {
    /// Has the node ask it.
    pub(crate) fn add_to(&self, builder: ClusterBuilder) -> ClusterBuilder {
        match self {
            Self::Addresses(name, port) => builder.discover(DnsDiscovery::addresses(name, *port)),
            Self::Services(name) => builder.discover(DnsDiscovery::services(name)),
            Self::File(path) => builder.discover(FileDiscovery::new(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_understood_and_the_rest_is_refused_with_what_there_is() {
        assert_eq!("dns:db.internal:7946".parse(), Ok(Discover::Addresses("db.internal".into(), 7946)));
        assert_eq!("srv:_cluster._udp.db".parse(), Ok(Discover::Services("_cluster._udp.db".into())));
        assert_eq!("file:/etc/seeds".parse(), Ok(Discover::File("/etc/seeds".into())));
        for wrong in
            ["", "dns", "dns:", "dns:db", "dns::7", "dns:db:0", "dns:db:70000", "srv:", "file:", "consul:x", "db:7946"]
        {
            let error = wrong.parse::<Discover>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong:?} names no discovery: use dns:NAME:PORT")), "{error}");
        }
    }
}
