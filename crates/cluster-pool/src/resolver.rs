//! From a name to addresses.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;

/// Finds where a name is now.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The addresses of `name`, which carries a port.
    ///
    /// # Errors
    /// Why there are none, in words.
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, String>;
}

/// Asks the system, as every other program on this machine would be answered: its hosts file, its name servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host(name).await.map_err(|e| e.to_string())?;
        Ok(found.collect())
    }
}
