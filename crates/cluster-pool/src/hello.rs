//! The hello: what two sides tell each other before anything else, server first, on the first stream of the server.
//!
//! ```text
//! server                         client
//!   | -- hello ------------------> |   the client knows who answered and may go away
//!   | <------------------ hello -- |   the server knows who called and for what
//!   | -- welcome or refusal -----> |   the link is up, or the reason why not
//! ```
//!
//! Nodes of two versions meet here. The range of protocol versions stands first for good, so that two that have none in common can
//! say so. Fields that are behind those known here are skipped, and so are frames of a kind that is not known, up to a few.
//!
//! A TLS connect returns before the server has judged the client's certificate, so a link is up, and back-off reset, only
//! after the welcome.

mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use cluster_types::{Blame, Blamed, ClusterName, Facts, FactsError, Incarnation, Life, NodeId};

use crate::frame::{Frame, FrameError, read_frame, write_frame};
use crate::identity::Role;
use crate::transport::{CloseCode, Connection, ConnectionError, LinkClass, RecvHalf, SendHalf};

/// Lowest protocol version spoken.
pub const PROTOCOL_MIN: u16 = 1;
/// Highest protocol version spoken.
pub const PROTOCOL_MAX: u16 = 1;

/// How long each side waits for the other's part. Several round trips of the slowest path, with a loss or two.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest hello, in bytes: names of 64 bytes and a refusal's sentence fit many times.
const HELLO_LEN_MAX: usize = 2_048;

/// Frames of kinds that are not known here which may stand before the one that is due: a later version has one or two.
const SKIPPED_MAX: usize = 8;

const KIND_HELLO: u16 = 1;
const KIND_WELCOME: u16 = 2;
const KIND_REFUSAL: u16 = 3;

/// What a side says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its name, which must be the one in its certificate.
    pub node: NodeId,
    /// Whether it is a client, which is no member, whatever its name.
    pub client: bool,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Which run of the process it is.
    pub life: Life,
    /// Its incarnation now.
    pub incarnation: Incarnation,
    /// Where it wants to be dialled.
    pub addr: SocketAddr,
    /// Of a dialler: the number of the dial, higher for a later one. Of the one who was dialled: 0.
    pub dial: u64,
    /// Whether it is about to go: it answers what is under way and takes nothing new.
    pub draining: bool,
    /// What else it says of itself: which features it knows.
    pub facts: Facts,
    /// Version of what it says of itself in key and value.
    pub meta_version: u32,
    /// Its signature under its life, incarnation, address, facts and version, as membership makes it; empty for none.
    pub proof: Vec<u8>,
}

/// Why a server turns away a peer whose certificate is good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is about to shut down.
    Draining,
    /// Another live process has the peer's name.
    NameTaken {
        /// Where that process answers.
        holder: SocketAddr,
    },
    /// It has all the connections it may have, and all are in use.
    Full,
    /// Anything else, in words.
    Other(String),
}

/// Decides whether a peer that has said hello becomes a link.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Admission: Send + Sync + std::fmt::Debug {
    /// Judges a hello. Has [`HELLO_TIMEOUT`] at the most, which is how long the peer waits for the answer.
    async fn admit(&self, hello: &Hello, class: LinkClass) -> Result<(), Refusal>;
}

/// Admits every member of the cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn admit(&self, _hello: &Hello, _class: LinkClass) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The peer said nothing in time. Safe to retry.
    #[error("the peer opened a connection and said nothing for {HELLO_TIMEOUT:?}")]
    Silent,
    /// The connection ended meanwhile. Safe to retry.
    #[error("the connection ended during the hello")]
    Connection(#[from] ConnectionError),
    /// What came was not a hello.
    #[error("the hello cannot be read")]
    Frame(#[from] FrameError),
    /// What the peer says of itself is no list of facts.
    #[error("the facts in the hello cannot be read")]
    Facts(#[from] FactsError),
    /// No common protocol version.
    #[error("the peer speaks protocol {theirs_min} to {theirs_max}, this node {PROTOCOL_MIN} to {PROTOCOL_MAX}")]
    Incompatible {
        /// The peer's lowest.
        theirs_min: u16,
        /// The peer's highest.
        theirs_max: u16,
    },
    /// The hello names somebody else than the certificate does.
    #[error("the peer says it is {said}, its certificate says {certified}")]
    NotItself {
        /// The name in the hello.
        said: String,
        /// The identity in the certificate.
        certified: String,
    },
    /// Somebody else answers at the address dialled.
    #[error("{found} answered where {wanted} was dialled")]
    WrongNode {
        /// Who was dialled.
        wanted: NodeId,
        /// Who answered.
        found: NodeId,
    },
    /// A client asked for what only members have.
    #[error("{client} is a client: only members have control links")]
    NoMember {
        /// Who asked.
        client: String,
    },
    /// This node dialled itself.
    #[error("the address dialled is this node's own")]
    Myself,
    /// Another live process has this node's name.
    #[error("another live process at {holder} has this node's name: choose another name, or stop that process first")]
    NameTaken {
        /// Where that process answers.
        holder: SocketAddr,
    },
    /// The peer is shutting down. Safe to retry elsewhere.
    #[error("the peer is shutting down")]
    Draining,
    /// The peer has all the connections it may have, and all are in use. Safe to retry later.
    #[error("the peer has all the connections it may have")]
    Full,
    /// One side refused, in words.
    #[error("refused: {reason}")]
    Refused {
        /// The reason.
        reason: String,
    },
}

impl From<Refusal> for HelloError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Draining => Self::Draining,
            Refusal::NameTaken { holder } => Self::NameTaken { holder },
            Refusal::Full => Self::Full,
            Refusal::Other(reason) => Self::Refused { reason },
        }
    }
}

impl From<&HelloError> for Refusal {
    fn from(error: &HelloError) -> Self {
        match error {
            HelloError::Draining => Self::Draining,
            HelloError::NameTaken { holder } => Self::NameTaken { holder: *holder },
            HelloError::Full => Self::Full,
            HelloError::Refused { reason } => Self::Other(reason.clone()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl Blamed for HelloError {
    fn blame(&self) -> Blame {
        match self {
            Self::Silent | Self::Connection(_) | Self::WrongNode { .. } | Self::Draining | Self::Full => {
                Blame::EnvironmentFailed
            }
            Self::Frame(e) => e.blame(),
            Self::Incompatible { .. } => Blame::PeerIncompatible,
            Self::NotItself { .. } | Self::NoMember { .. } | Self::Facts(_) => Blame::PeerMisbehaved,
            Self::Myself | Self::NameTaken { .. } | Self::Refused { .. } => Blame::CallerMisused,
        }
    }
}

impl Hello {
    /// Decodes and compares with the certificate.
    fn decode(body: &[u8], connection: &dyn Connection) -> Result<(Self, LinkClass), HelloError> {
        let said = wire::read(body)?;
        let certified = connection.remote_identity();
        let (node, client) = match &certified.role {
            Role::Node(node) => (node, false),
            Role::Client(name) => (name, true),
        };
        if said.client != client || said.cluster != certified.cluster.as_str() || said.node != node.as_str() {
            let said = format!("{}/{}", said.cluster, said.node);
            return Err(HelloError::NotItself { said, certified: certified.uri() });
        }
        let class = said.link_class();
        if client && class == LinkClass::Control {
            return Err(HelloError::NoMember { client: certified.uri() });
        }
        let hello = Self {
            node: node.clone(),
            client,
            cluster: certified.cluster.clone(),
            life: Life::from_raw(said.life),
            incarnation: Incarnation::from_raw(said.incarnation),
            addr: said.addr,
            draining: said.draining,
            dial: said.dial,
            facts: Facts::decode(&said.facts)?,
            meta_version: said.meta_version,
            proof: said.proof,
        };
        Ok((hello, class))
    }
}

/// For fuzzing: whatever the bytes are, reading them as a hello or a refusal ends.
pub(crate) fn try_read(bytes: &[u8]) {
    drop((wire::read(bytes), Refusal::decode(bytes)));
}

async fn in_time<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, HelloError>
where
    HelloError: From<E>,
{
    tokio::time::timeout(HELLO_TIMEOUT, work).await.map_err(|_elapsed| HelloError::Silent)?.map_err(Into::into)
}

/// The dialler's part. `wanted` is who was dialled, if the dialler knows.
///
/// # Errors
/// See [`HelloError`]; the connection is closed then.
pub async fn greet_as_client(
    connection: &dyn Connection,
    own: &Hello,
    class: LinkClass,
    wanted: Option<&NodeId>,
) -> Result<Hello, HelloError> {
    let greeted = client_part(connection, own, class, wanted).await;
    if let Err(error) = &greeted {
        connection.close(code_for(error));
    }
    greeted
}

/// Only listens: who answers here? The caller closes the connection.
///
/// # Errors
/// See [`HelloError`].
pub async fn hear_hello(connection: &dyn Connection) -> Result<Hello, HelloError> {
    let (_send, mut recv) = in_time(connection.accept_bi()).await?;
    let frame = in_time(read_known(&mut *recv)).await?;
    decode_hello(frame.kind, &frame.body, connection).map(|(hello, _)| hello)
}

async fn client_part(
    connection: &dyn Connection,
    own: &Hello,
    class: LinkClass,
    wanted: Option<&NodeId>,
) -> Result<Hello, HelloError> {
    let (mut send, mut recv) = in_time(connection.accept_bi()).await?;
    let frame = in_time(read_known(&mut *recv)).await?;
    let (remote, _) = decode_hello(frame.kind, &frame.body, connection)?;
    if remote.node == own.node && remote.life == own.life && !own.client {
        return Err(HelloError::Myself);
    }
    if let Some(wanted) = wanted.filter(|w| **w != remote.node) {
        return Err(HelloError::WrongNode { wanted: wanted.clone(), found: remote.node });
    }
    in_time(async { write_frame(&mut send, KIND_HELLO, &own.encode(class)).await.map_err(FrameError::from) }).await?;
    send.finish();
    let answer = in_time(read_known(&mut *recv)).await?;
    match answer.kind {
        KIND_WELCOME => Ok(remote),
        KIND_REFUSAL => Err(HelloError::from(Refusal::decode(&answer.body)?)),
        found => Err(FrameError::Unexpected { found, wanted: "a welcome or a refusal" }.into()),
    }
}

/// The acceptor's part: greets first, reads the answer, and lets `admit` decide before it welcomes.
///
/// # Errors
/// See [`HelloError`]; the peer was told the reason, and the connection is closed.
pub async fn greet_as_server(
    connection: &dyn Connection,
    own: &Hello,
    admission: &dyn Admission,
) -> Result<(Hello, LinkClass), HelloError> {
    let (mut send, mut recv) = in_time(connection.open_bi()).await?;
    let judged = match server_part(connection, own, &mut *send, &mut *recv).await {
        Ok((hello, class)) => match in_time(admission.admit(&hello, class)).await {
            Ok(()) => Ok((hello, class)),
            Err(refused) => Err(refused),
        },
        Err(error) => Err(error),
    };
    match &judged {
        Ok(_) => in_time(async { write_frame(&mut send, KIND_WELCOME, &[]).await.map_err(FrameError::from) }).await?,
        Err(error) => refuse(connection, &mut *send, &mut *recv, error).await,
    }
    send.finish();
    judged
}

async fn server_part(
    connection: &dyn Connection,
    own: &Hello,
    send: &mut dyn SendHalf,
    recv: &mut dyn RecvHalf,
) -> Result<(Hello, LinkClass), HelloError> {
    let hello = own.encode(LinkClass::Control);
    in_time(async { write_frame(send, KIND_HELLO, &hello).await.map_err(FrameError::from) }).await?;
    let frame = in_time(read_known(recv)).await?;
    decode_hello(frame.kind, &frame.body, connection)
}

/// The next frame of a kind that is known here.
async fn read_known(recv: &mut dyn RecvHalf) -> Result<Frame, FrameError> {
    let mut skipped = 0;
    loop {
        let frame = read_frame(recv, HELLO_LEN_MAX).await?;
        if matches!(frame.kind, KIND_HELLO | KIND_WELCOME | KIND_REFUSAL) || skipped == SKIPPED_MAX {
            return Ok(frame);
        }
        skipped += 1;
    }
}

fn decode_hello(kind: u16, body: &[u8], connection: &dyn Connection) -> Result<(Hello, LinkClass), HelloError> {
    if kind != KIND_HELLO {
        return Err(FrameError::Unexpected { found: kind, wanted: "a hello" }.into());
    }
    Hello::decode(body, connection)
}

/// Tells the peer why, gives it a moment to read it (closing at once could overtake the words), and closes.
async fn refuse(connection: &dyn Connection, send: &mut dyn SendHalf, recv: &mut dyn RecvHalf, error: &HelloError) {
    let words = Refusal::from(error).encode();
    let told = async {
        write_frame(send, KIND_REFUSAL, &words).await?;
        send.finish();
        // The dialler closes when it has read the refusal.
        recv_end(recv).await;
        connection.closed().await;
        Ok::<(), std::io::Error>(())
    };
    // Told or not, the connection ends now; there is nobody else to report to.
    let _ = tokio::time::timeout(Duration::from_millis(500), told).await;
    connection.close(code_for(error));
}

async fn recv_end(recv: &mut dyn RecvHalf) {
    let mut rest = [0; 64];
    while let Ok(1..) = tokio::io::AsyncReadExt::read(recv, &mut rest).await {}
}

const fn code_for(error: &HelloError) -> CloseCode {
    match error {
        HelloError::Refused { .. }
        | HelloError::NameTaken { .. }
        | HelloError::Draining
        | HelloError::Full
        | HelloError::WrongNode { .. }
        | HelloError::Myself => CloseCode::REFUSED,
        HelloError::Silent | HelloError::Connection(_) => CloseCode::DONE,
        HelloError::Frame(_)
        | HelloError::Facts(_)
        | HelloError::Incompatible { .. }
        | HelloError::NotItself { .. }
        | HelloError::NoMember { .. } => CloseCode::PROTOCOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::Features;

    /// A change here is a change of the protocol: nodes of two versions meet in every rolling upgrade.
    #[test]
    fn golden_bytes() {
        let hello = Hello {
            node: "db-1".parse().unwrap(),
            client: false,
            cluster: "prod".parse().unwrap(),
            life: Life::from_raw(0x0102_0304_0506_0708),
            incarnation: Incarnation::from_raw(77),
            addr: "10.0.0.1:7946".parse().unwrap(),
            dial: 3,
            draining: true,
            facts: Facts::of(Features::from_bits(0, 0b1_0010)),
            meta_version: 2,
            proof: vec![7; 3],
        };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let holder = "10.0.0.2:7946".parse().unwrap();
        let lines = [
            format!("hello, control: {}", hex(hello.encode(LinkClass::Control))),
            format!("hello, data: {}", hex(hello.encode(LinkClass::Data))),
            format!("hello, private, of a client: {}", hex(Hello { client: true, ..hello }.encode(LinkClass::Private))),
            format!("refusal, draining: {}", hex(Refusal::Draining.encode())),
            format!("refusal, name taken: {}", hex(Refusal::NameTaken { holder }.encode())),
            format!("refusal, full: {}", hex(Refusal::Full.encode())),
            format!("refusal, in words: {}", hex(Refusal::Other("no".into()).encode())),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn refusals_are_what_they_were() {
        let holder = "[::1]:1".parse().unwrap();
        for refusal in
            [Refusal::Draining, Refusal::NameTaken { holder }, Refusal::Full, Refusal::Other("because".into())]
        {
            assert_eq!(Refusal::decode(&refusal.encode()).unwrap(), refusal);
        }
        // A code of a later version is a refusal in words; a name that is taken by nobody known is, too.
        let later = crate::frame::encode_body(&(200u8, "the moon", None::<SocketAddr>, "more of it"));
        assert_eq!(Refusal::decode(&later).unwrap(), Refusal::Other("the moon".into()));
        assert!(Refusal::decode(&[0xff; 3]).is_err());
    }

    /// Frozen: whatever is added to a hello, that of the first release is understood as it was meant.
    #[test]
    fn a_hello_of_the_first_release_is_understood() {
        let frozen = "01010470726f640464622d3100888e98a8c0e08081014d000a0000018a3e0103000200120203070707";
        let bytes: Vec<u8> =
            (0..frozen.len()).step_by(2).map(|at| u8::from_str_radix(&frozen[at..at + 2], 16).unwrap()).collect();
        // One of a later version says more, in the facts and behind them.
        for later in [bytes.clone(), [&bytes[..], b"+later"].concat()] {
            let said = wire::read(&later).unwrap();
            assert_eq!((said.cluster.as_str(), said.node.as_str(), said.client), ("prod", "db-1", false));
            assert_eq!((said.life, said.incarnation, said.dial, said.draining), (0x0102_0304_0506_0708, 77, 3, true));
            assert_eq!((said.addr, said.link_class()), ("10.0.0.1:7946".parse().unwrap(), LinkClass::Control));
            let facts = Facts::decode(&said.facts).unwrap();
            assert_eq!(facts, Facts::of(Features::from_bits(0, 0b1_0010)));
            assert_eq!((said.meta_version, said.proof), (2, vec![7; 3]));
        }
    }
}
