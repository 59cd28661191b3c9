//! DNS records: addresses of one name with a fixed port, or the services that an SRV record lists.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::sync::OnceCell;

use super::{Discovery, DiscoveryError};
use crate::join::Seed;

/// Names of one SRV record that are looked up: a name server may answer with any number.
const TARGETS_MAX: usize = 256;

/// How long a target of an SRV record may take to be looked up.
const TARGET_PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug, Clone)]
enum Asked {
    /// A and AAAA, with this port.
    Addresses { name: String, port: u16 },
    /// SRV, then A and AAAA of its targets.
    Services { name: String },
}

/// Asks name servers: those of the system, unless others are given. Answers are kept for as long as they say, a minute at most.
pub struct DnsDiscovery {
    asked: Asked,
    name_server: Option<SocketAddr>,
    /// Made where it is used first, in the runtime it is used in.
    resolver: OnceCell<TokioResolver>,
    /// Targets that were not looked up, and of which nobody was told yet.
    left_out: AtomicUsize,
}

impl std::fmt::Debug for DnsDiscovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DnsDiscovery").field(&self.asked).finish()
    }
}

impl DnsDiscovery {
    /// Every address of `name` (A and AAAA), with `port`: a headless service of Kubernetes, for example.
    pub fn addresses(name: impl Into<String>, port: u16) -> Self {
        Self::new(Asked::Addresses { name: name.into(), port })
    }

    /// Every service that the SRV record of `name` lists (`_cluster._udp.example.org`), with the port it gives.
    pub fn services(name: impl Into<String>) -> Self {
        Self::new(Asked::Services { name: name.into() })
    }

    fn new(asked: Asked) -> Self {
        Self { asked, name_server: None, resolver: OnceCell::new(), left_out: AtomicUsize::new(0) }
    }

    /// Asks this name server, and not those of the system.
    #[must_use]
    pub const fn with_name_server(mut self, addr: SocketAddr) -> Self {
        self.name_server = Some(addr);
        self
    }

    /// As many services as are looked up; counts the others.
    fn some_of(&self, mut services: Vec<(String, u16)>) -> Vec<(String, u16)> {
        self.left_out.fetch_add(services.len().saturating_sub(TARGETS_MAX), Ordering::Relaxed);
        services.truncate(TARGETS_MAX);
        services
    }

    fn failed(&self, reason: impl ToString) -> DiscoveryError {
        DiscoveryError::Unavailable { what: self.describe(), reason: reason.to_string() }
    }

    async fn resolver(&self) -> Result<&TokioResolver, DiscoveryError> {
        let made = self.resolver.get_or_try_init(|| async { self.make() }).await;
        made.map_err(|e| self.failed(format!("the system's name servers cannot be found out: {e}")))
    }

    fn make(&self) -> Result<TokioResolver, hickory_resolver::net::NetError> {
        let mut builder = match self.name_server {
            None => TokioResolver::builder_tokio()?,
            Some(addr) => {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = addr.port());
                let server = NameServerConfig::new(addr.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        // What is asked for again and again must not be answered from long ago.
        options.positive_max_ttl = Some(Duration::from_secs(60));
        options.negative_max_ttl = Some(Duration::from_secs(5));
        builder.build()
    }

    /// Both kinds are asked for, since a name may have one of them only. Nobody is an answer where both say that there are no records, and
    /// only there: a server that fails for one of them has not said so.
    async fn addresses_of(&self, name: &str, port: u16) -> Result<Vec<Seed>, DiscoveryError> {
        let resolver = self.resolver().await?;
        let (v4, v6) = tokio::join!(resolver.lookup(name, RecordType::A), resolver.lookup(name, RecordType::AAAA));
        let (mut found, mut failure) = (Vec::new(), None);
        for answer in [v4, v6] {
            match answer {
                Ok(records) => found.extend(records.answers().iter().filter_map(|record| match &record.data {
                    RData::A(ip) => Some(IpAddr::V4(ip.0)),
                    RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
                    _ => None,
                })),
                Err(error) if error.is_no_records_found() => {}
                Err(error) => failure = Some(self.failed(error)),
            }
        }
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found.into_iter().map(|ip| Seed::Addr(SocketAddr::new(ip, port))).collect()),
        }
    }
}

#[async_trait]
impl Discovery for DnsDiscovery {
    fn describe(&self) -> String {
        match &self.asked {
            Asked::Addresses { name, port } => format!("dns {name}:{port}"),
            Asked::Services { name } => format!("dns srv {name}"),
        }
    }

    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        let name = match &self.asked {
            Asked::Addresses { name, port } => return self.addresses_of(name, *port).await,
            Asked::Services { name } => name,
        };
        let records = match self.resolver().await?.srv_lookup(name.as_str()).await {
            // Nobody is an answer: a service that has no members yet.
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            records => records.map_err(|e| self.failed(e))?,
        };
        let services = records.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(service) => Some((service.target.to_string(), service.port)),
            _ => None,
        });
        let targets = self.some_of(services.collect()).into_iter().map(|(target, port)| async move {
            let lookup = tokio::time::timeout(TARGET_PATIENCE, self.addresses_of(&target, port)).await;
            lookup
                .unwrap_or_else(|_elapsed| Err(self.failed(format!("{target}: no answer within {TARGET_PATIENCE:?}"))))
        });
        let (mut found, mut last) = (Vec::new(), None);
        // All at once; those of which nothing is heard take nothing from the others.
        for addresses in join_all(targets).await {
            match addresses {
                Ok(addresses) => found.extend(addresses),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    fn take_left_out(&self) -> usize {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_are_not_looked_up_are_counted_until_somebody_asks() {
        let discovery = DnsDiscovery::services("_cluster._udp.test.");
        let services = |n: usize| vec![("a.test.".to_owned(), 1); n];
        assert_eq!(discovery.some_of(services(TARGETS_MAX)).len(), TARGETS_MAX);
        assert_eq!(discovery.take_left_out(), 0);
        assert_eq!(discovery.some_of(services(TARGETS_MAX + 3)).len(), TARGETS_MAX);
        assert_eq!((discovery.take_left_out(), discovery.take_left_out()), (3, 0));
    }
}
