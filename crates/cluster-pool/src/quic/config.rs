//! What is set in quinn and why. Every value that is not quinn's default stands here with its reason.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use cluster_failure::ConfigError;
use quinn::{ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};

use super::connection_ids::ConnectionIds;
use super::tls::Tls;
use super::window::FlooredConfig;
use crate::identity::NodeSecret;
use crate::transport::LinkClass;

/// Wall-clock time since 1970, for judging certificates.
pub type UnixTime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A connection on which nothing was heard for this long is over. Well above P, so that a forgiven pause closes nothing.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for data connections. Nobody probes them, and a path that is silent must be found within 10 s: the clock of the
/// idle time starts anew with the first packet sent after the last one heard, so keep-alive and idle time together are the
/// longest that a death goes unnoticed: 9.3 s. A pause of 5 s is forgiven.
pub(crate) const DATA_IDLE_TIMEOUT: Duration = Duration::from_secs(7);

/// Data connections are kept alive by pings of their own (control links have their probes): a third of the idle time, so
/// that two may be lost. The side that dialled sends them.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(2_300);

/// Streams the peer may have open on a control link: a state exchange, a fallback probe, and one of each to spare.
pub(crate) const CONTROL_STREAMS: u32 = 4;

/// Streams the peer may have open on a data connection. A permitted one costs 0.3 KiB a pair of connections up front; each eighth part that
/// is used up costs a packet that permits more: fewer would show in the time of a request, more in the memory of the idle.
pub(crate) const DATA_STREAMS: u32 = 64;
/// Of one direction there are fewer: hardly anybody uses them, and each permitted one is paid for.
pub(crate) const fn uni_streams(streams: u32) -> u32 {
    if streams < 8 { streams } else { 8 }
}
/// And once it has used three quarters of them.
pub(crate) const DATA_STREAMS_MAX: u32 = 100;

/// Settings of a QUIC endpoint.
#[derive(Clone)]
pub struct QuicConfig {
    /// Assumed round trip before the first measurement. quinn's default of 333 ms makes a first packet that is lost, for
    /// example because the seed binds 50 ms later, cost a second. Too low, and slow paths see repeated first packets.
    pub initial_rtt: Duration,
    /// Seeds quinn's randomness; `None` in production. Set in simulation, where packet sizes must repeat.
    pub rng_seed: Option<[u8; 32]>,
    /// Wall-clock time for judging certificates; `None` for the system's.
    pub unix_time: Option<UnixTime>,
}

impl fmt::Debug for QuicConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicConfig").field("initial_rtt", &self.initial_rtt).finish_non_exhaustive()
    }
}

impl Default for QuicConfig {
    fn default() -> Self {
        Self { initial_rtt: Duration::from_millis(50), rng_seed: None, unix_time: None }
    }
}

/// Bytes of datagrams that wait for a link: some sixty of 1,100 B with what quinn charges for each. Probes are worthless when they are late, and the
/// oldest is dropped first.
pub(super) const DATAGRAMS_WAITING: usize = 64 * 1_100;

/// A number that no other process begins with: it need not be secret.
fn unlike_any_other() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl QuicConfig {
    /// Says whether a transport can work with them.
    ///
    /// # Errors
    /// The first setting that cannot work, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&self.initial_rtt) {
            let rule =
                "it must be 1 ms to 10 s: shorter repeats every first packet, longer waits for those that are lost";
            return Err(ConfigError { field: "initial_rtt", given: format!("{:?}", self.initial_rtt), rule });
        }
        Ok(())
    }

    /// Connection ids and reset tokens follow from the node secret, so that after a restart the old connections of peers
    /// are answered with valid resets: they notice within a round trip.
    pub(super) fn endpoint(&self, secret: &NodeSecret) -> EndpointConfig {
        let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret.derive("quic stateless reset"));
        let mut config = EndpointConfig::new(Arc::new(reset_key));
        let cid_key = secret.derive("quic connection ids");
        let first = self
            .rng_seed
            .map_or_else(unlike_any_other, |seed| u64::from_le_bytes(*seed.first_chunk().unwrap_or(&[0; 8])));
        config.cid_generator(move || Box::new(ConnectionIds::new(&cid_key, first)));
        config.rng_seed(self.rng_seed);
        config
    }

    pub(super) fn server(&self, tls: &Tls, secret: &NodeSecret) -> ServerConfig {
        let token_key = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"").extract(&secret.derive("quic tokens"));
        let mut config = ServerConfig::new(Arc::clone(&tls.server) as _, Arc::new(token_key));
        // The class is known only after the hello; a data connection gets its streams then.
        config.transport_config(Arc::new(self.transport(LinkClass::Control)));
        config
    }

    pub(super) fn client(&self, tls: &Tls, class: LinkClass) -> ClientConfig {
        let mut config = ClientConfig::new(Arc::clone(&tls.client) as _);
        config.transport_config(Arc::new(self.transport(class)));
        config
    }

    fn transport(&self, class: LinkClass) -> TransportConfig {
        let mut config = TransportConfig::default();
        let (streams, keep_alive, idle) = match class {
            LinkClass::Control => (CONTROL_STREAMS, None, IDLE_TIMEOUT),
            LinkClass::Data | LinkClass::Private => (DATA_STREAMS, Some(KEEP_ALIVE), DATA_IDLE_TIMEOUT),
        };
        config.max_concurrent_bidi_streams(VarInt::from_u32(streams));
        config.max_concurrent_uni_streams(VarInt::from_u32(uni_streams(streams)));
        config.keep_alive_interval(keep_alive);
        // The shorter one of both sides counts.
        let idle = IdleTimeout::try_from(idle).expect("seconds fit a variable-length integer of milliseconds");
        config.max_idle_timeout(Some(idle));
        config.initial_rtt(self.initial_rtt);
        // Unlimited by default: a peer could make this side buffer without end.
        config.receive_window(VarInt::from_u32(8 * 1024 * 1024));
        config.stream_receive_window(VarInt::from_u32(1024 * 1024));
        // Many small messages: finishing one stream at a time beats taking turns.
        config.send_fairness(false);
        if class == LinkClass::Control {
            // Who comes back is heard at once, whatever was lost meanwhile.
            config.congestion_controller_factory(Arc::<FlooredConfig>::default());
        }
        config.datagram_send_buffer_size(DATAGRAMS_WAITING);
        config
    }
}

const _: () = assert!(KEEP_ALIVE.as_millis() * 3 <= DATA_IDLE_TIMEOUT.as_millis());
