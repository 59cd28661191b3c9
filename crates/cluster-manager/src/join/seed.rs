//! Where to join: an address, or a name that may stand for other addresses tomorrow.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A seed as its user gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Seed {
    /// An address.
    Addr(SocketAddr),
    /// A name with a port. It is resolved anew in each round, so that a seed that has moved is found where it is now.
    Name(String),
}

/// A text that is neither an address nor a name with a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no seed: give an address with its port (10.0.0.1:7000) or a name with one (db.internal:7000)")]
pub struct SeedError(String);

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        if let Ok(addr) = text.parse() {
            return Ok(Self::Addr(addr));
        }
        let wrong = || SeedError(text.to_owned());
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // A name of digits and dots alone is an address that was mistyped.
        let is_name = name.len() <= 253 && name.chars().all(is_label) && name.chars().any(|c| c.is_ascii_alphabetic());
        if is_name && port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(wrong())
    }
}

impl TryFrom<String> for Seed {
    type Error = SeedError;

    fn try_from(text: String) -> Result<Self, SeedError> {
        text.parse()
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

impl From<SocketAddr> for Seed {
    fn from(addr: SocketAddr) -> Self {
        Self::Addr(addr)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart_and_the_rest_is_refused() {
        for addr in ["10.0.0.1:7000", "[::1]:7000"] {
            assert_eq!(addr.parse(), Ok(Seed::Addr(addr.parse().unwrap())));
        }
        for name in ["localhost:1", "db-0.db.prod.svc.cluster.local:65535", "n_1:7"] {
            assert_eq!(name.parse(), Ok(Seed::Name(name.to_owned())));
            assert_eq!(name.parse::<Seed>().unwrap().to_string(), name);
        }
        for wrong in
            ["", "db", "db:", ":7000", "db:0", "db:65536", "10.0.0.256:7000", "a b:1", "::1:7000", "http://db:1"]
        {
            let error = wrong.parse::<Seed>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong:?} is no seed")), "{error}");
        }
    }
}
