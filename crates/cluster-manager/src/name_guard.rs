//! Two processes with one name: decided at the door, before the second one becomes a link.
//!
//! Both hold a valid certificate, so it settles nothing. What settles it is whether the first one still answers: if it does,
//! the newcomer is turned away with its address; if not, the newcomer is the same node after a restart.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use cluster_gossip::SharedNodeRegistry;
use cluster_gossip::wire::Request;
use cluster_pool::{Admission, Hello, LinkClass, Refusal, WeakPool};
use cluster_types::{Life, NodeId};

/// How long the holder of a name has to answer.
const HOLDER_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct NameGuard {
    pub(crate) own: NodeId,
    pub(crate) own_life: Life,
    pub(crate) own_addr: SocketAddr,
    pub(crate) registry: SharedNodeRegistry,
    /// Set once the pool is there: the guard is made before it, and held by it.
    pub(crate) pool: OnceLock<WeakPool>,
}

impl NameGuard {
    /// Whether the process with life `holder` still answers for `node` at `addr`.
    async fn answers(&self, node: &NodeId, holder: Life, addr: SocketAddr) -> bool {
        let Some(pool) = self.pool.get().and_then(WeakPool::upgrade) else { return false };
        let link = pool.current(LinkClass::Control, node).filter(|link| link.life() == holder);
        match link {
            Some(link) => {
                let (kind, body) = Request::Probe.encode();
                link.request(kind, &body, 64, HOLDER_PATIENCE).await.is_ok()
            }
            None => pool.who_is_at(addr, HOLDER_PATIENCE).await.is_some_and(|hello| hello.life == holder),
        }
    }
}

#[async_trait]
impl Admission for NameGuard {
    async fn admit(&self, hello: &Hello, _class: LinkClass) -> Result<(), Refusal> {
        // A client has a name among clients, and none among members.
        if hello.client {
            return Ok(());
        }
        if hello.node == self.own {
            return if hello.life == self.own_life {
                Ok(())
            } else {
                Err(Refusal::NameTaken { holder: self.own_addr })
            };
        }
        let member = self.registry.snapshot().member(hello.node.as_str()).cloned();
        let Some(member) = member.filter(|member| member.state().is_live()) else { return Ok(()) };
        let (holder, addr) = (member.claim.life, member.claim.addr);
        // At one address there is one process, and it has just said which.
        if holder == hello.life || addr == hello.addr {
            return Ok(());
        }
        let taken = self.answers(&hello.node, holder, addr).await;
        cluster_sites::sometimes!(crate::sites::NAME_TAKEN, taken);
        if taken { Err(Refusal::NameTaken { holder: addr }) } else { Ok(()) }
    }
}
