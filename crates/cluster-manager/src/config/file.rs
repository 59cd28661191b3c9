//! Settings as they stand in a TOML file: a profile, and what differs from it. Every key has the name of the field it sets; a key
//! that is none is an error, and so is a value that cannot work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cluster_failure::{BackoffConfig, BreakerConfig, ConfigError, Jitter, PauseBudget};
use cluster_pool::Overflow;
use serde::Deserialize;

use super::{ClusterConfig, InvalidConfig, Profile};

/// A span as people write it: `"500ms"`, `"1s 200ms"`, `"72h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl From<Duration> for Span {
    fn from(span: Duration) -> Self {
        Self(span)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let span = humantime::parse_duration(&text);
        span.map(Self).map_err(|e| format!("{text:?} is no span: {e}; write it like \"500ms\" or \"1m 30s\""))
    }
}

/// What [`ClusterConfig::from_toml`] reads.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FileSettings {
    /// `lan` (where none is given), `wan` or `local`.
    pub profile: Option<Profile>,
    /// See [`ClusterConfig::bind`].
    pub bind: Option<SocketAddr>,
    /// See [`ClusterConfig::advertise`].
    pub advertise: Option<SocketAddr>,
    /// What this node says about itself.
    pub meta: BTreeMap<String, String>,
    /// `[membership]`
    pub membership: MembershipSettings,
    /// `[links]`
    pub links: LinkSettings,
    /// `[pool]`
    pub pool: PoolSettings,
    /// `[peers]`
    pub peers: PeerSettings,
}

/// The parts of the settings that have headings of their own: what most nodes leave as the profile has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tuning {
    /// `[membership]`
    pub membership: MembershipSettings,
    /// `[links]`
    pub links: LinkSettings,
    /// `[pool]`
    pub pool: PoolSettings,
    /// `[peers]`
    pub peers: PeerSettings,
}

/// Declares a heading: its keys, which are all optional, and where each goes.
macro_rules! heading {
    ($(#[$doc:meta])* $name:ident for $target:ty { $($(#[$key_doc:meta])* $key:ident: $kind:ty => |$config:ident, $value:ident| $set:expr;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$key_doc])* pub $key: Option<$kind>,)*
        }

        impl $name {
            /// Sets what is given.
            fn apply(self, config: &mut $target) -> Result<(), ConfigError> {
                $(if let Some($value) = self.$key {
                    let $config = &mut *config;
                    $set;
                })*
                Ok(())
            }
        }
    };
}

heading! {
    /// `[membership]`: see [`SwimConfig`](cluster_gossip::SwimConfig).
    MembershipSettings for cluster_gossip::SwimConfig {
        /// The longest pause that is forgiven.
        pause: Span => |config, v| config.budget = budget(&config.budget, Some(v.0), None, None)?;
        /// How often each member is probed.
        period: Span => |config, v| config.budget = budget(&config.budget, None, Some(v.0), None)?;
        /// How long a member that wakes up has to be heard.
        wake: Span => |config, v| config.budget = budget(&config.budget, None, None, Some(v.0))?;
        /// See there.
        probe_timeout: Span => |config, v| config.probe_timeout = v.0;
        /// See there.
        probe_timeout_min: Span => |config, v| config.probe_timeout_min = v.0;
        /// See there.
        gossip_interval: Span => |config, v| config.gossip_interval = v.0;
        /// See there.
        gossip_fanout: usize => |config, v| config.gossip_fanout = v;
        /// See there.
        sync_interval: Span => |config, v| config.sync_interval = v.0;
        /// See there.
        observers: usize => |config, v| config.observers = v;
        /// See there.
        reap_after: Span => |config, v| config.reap_after = v.0;
    }
}

fn budget(
    former: &PauseBudget,
    pause: Option<Duration>,
    period: Option<Duration>,
    wake: Option<Duration>,
) -> Result<PauseBudget, ConfigError> {
    let (pause, period) = (pause.unwrap_or(former.pause()), period.unwrap_or(former.period()));
    Ok(PauseBudget::new(pause, period, wake.unwrap_or(former.wake()))?.with_votes(former.votes()))
}

heading! {
    /// `[links]`: see [`QuicConfig`](cluster_pool::QuicConfig).
    LinkSettings for cluster_pool::QuicConfig {
        /// See there.
        initial_rtt: Span => |config, v| config.initial_rtt = v.0;
    }
}

heading! {
    /// `[pool]`: see [`PoolConfig`](cluster_pool::PoolConfig).
    PoolSettings for cluster_pool::PoolConfig {
        /// See there.
        dial_timeout: Span => |config, v| config.dial_timeout = v.0;
        /// See there.
        dials_max: usize => |config, v| config.dials_max = v;
        /// See there.
        handshakes_max: usize => |config, v| config.handshakes_max = v;
        /// See there.
        streams_served_max: usize => |config, v| config.streams_served_max = v;
        /// See there.
        event_queue_len: usize => |config, v| config.event_queue_len = v;
        /// See there.
        first_frame_timeout: Span => |config, v| config.first_frame_timeout = v.0;
        /// See there.
        max_total: usize => |config, v| config.max_total = v;
        /// See there.
        max_per_peer: usize => |config, v| config.max_per_peer = v;
        /// See there.
        max_per_client: usize => |config, v| config.max_per_client = v;
        /// See there.
        idle_timeout: Span => |config, v| config.idle_timeout = v.0;
        /// See there.
        idle_check_interval: Span => |config, v| config.idle_check_interval = v.0;
    }
}

heading! {
    /// `[peers]`: see [`PeerConfig`](cluster_pool::PeerConfig).
    PeerSettings for cluster_pool::PeerConfig {
        /// See there.
        queue_len_max: usize => |config, v| config.queue_len_max = v;
        /// See there.
        queue_bytes_max: usize => |config, v| config.queue_bytes_max = v;
        /// See there.
        queue_age_max: Span => |config, v| config.queue_age_max = v.0;
        /// `drop-oldest`, `refuse` or `wait`.
        overflow: OverflowSetting => |config, v| config.overflow = v.into();
        /// See there.
        message_len_max: usize => |config, v| config.message_len_max = v;
        /// See there.
        requests_max: usize => |config, v| config.requests_max = v;
        /// See there.
        rest_after: Span => |config, v| config.rest_after = v.0;
        /// `[peers.backoff]`
        backoff: BackoffSettings => |config, v| config.backoff = v.checked()?;
        /// `[peers.breaker]`
        breaker: BreakerSettings => |config, v| config.breaker = v.checked()?;
    }
}

/// What happens to a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverflowSetting {
    /// See [`Overflow::DropOldest`].
    DropOldest,
    /// See [`Overflow::Refuse`].
    Refuse,
    /// See [`Overflow::Wait`].
    Wait,
}

impl From<OverflowSetting> for Overflow {
    fn from(setting: OverflowSetting) -> Self {
        match setting {
            OverflowSetting::DropOldest => Self::DropOldest,
            OverflowSetting::Refuse => Self::Refuse,
            OverflowSetting::Wait => Self::Wait,
        }
    }
}

/// `[peers.backoff]`: see [`BackoffConfig`]. Where one key is given, both are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackoffSettings {
    /// The first delay.
    pub initial: Span,
    /// The longest.
    pub max: Span,
}

impl BackoffSettings {
    fn checked(self) -> Result<BackoffConfig, ConfigError> {
        let field = |e: &ConfigError| if e.field == "max" { "backoff.max" } else { "backoff.initial" };
        let checked = BackoffConfig::new(self.initial.0, self.max.0, Jitter::Equal);
        checked.map_err(|e| ConfigError { field: field(&e), ..e })
    }
}

/// `[peers.breaker]`: see [`BreakerConfig`]. Where one key is given, all are.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// It opens after so many in a row.
    pub failures: u32,
    /// Or when such a part of the last 20 has failed.
    pub failure_rate: f64,
    /// For so long.
    pub cool_down: Span,
    /// Growing to this.
    pub cool_down_max: Span,
}

impl BreakerSettings {
    fn checked(self) -> Result<BreakerConfig, ConfigError> {
        let field = |e: &ConfigError| match e.field {
            "failures" => "breaker.failures",
            "failure_rate" => "breaker.failure_rate",
            "cool_down" => "breaker.cool_down",
            _ => "breaker.cool_down_max",
        };
        let checked = BreakerConfig::new(self.failures, self.failure_rate, self.cool_down.0, self.cool_down_max.0, 1);
        checked.map_err(|e| ConfigError { field: field(&e), ..e })
    }
}

impl Tuning {
    /// Sets what is given, on top of what is there.
    ///
    /// # Errors
    /// A value that means nothing by itself. Whether all of them fit together, says [`ClusterConfig::check`].
    pub fn apply(self, config: &mut ClusterConfig) -> Result<(), InvalidConfig> {
        self.membership.apply(&mut config.swim).map_err(InvalidConfig::under("membership"))?;
        self.links.apply(&mut config.quic).map_err(InvalidConfig::under("links"))?;
        self.pool.apply(&mut config.pool).map_err(InvalidConfig::under("pool"))?;
        self.peers.apply(&mut config.peers).map_err(InvalidConfig::under("peers"))
    }
}

/// Why a file's text is no configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is no TOML, has a key that is none, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// A value cannot work.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
}

impl cluster_types::Blamed for FileError {
    fn blame(&self) -> cluster_types::Blame {
        cluster_types::Blame::CallerMisused
    }
}

impl ClusterConfig {
    /// Settings from the text of a TOML file: a profile, and what differs from it. They are checked.
    ///
    /// ```
    /// let config = cluster_manager::ClusterConfig::from_toml(
    ///     r#"
    ///     profile = "wan"
    ///     bind = "10.0.0.7:7946"
    ///     meta = { zone = "eu-1" }
    ///     [membership]
    ///     pause = "20s"
    ///     [peers]
    ///     queue_len_max = 1000
    ///     "#,
    /// )?;
    /// assert_eq!(config.peers.queue_len_max, 1000);
    /// # Ok::<(), cluster_manager::config::FileError>(())
    /// ```
    ///
    /// # Errors
    /// Names the line, the key or the value, and what is allowed.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let file: FileSettings =
            toml::from_str(text).map_err(|e| FileError::Syntax(e.to_string().trim_end().into()))?;
        let mut config = Self::new(file.profile.unwrap_or_default());
        config.bind = file.bind.unwrap_or(config.bind);
        config.advertise = file.advertise;
        let wrong = |e: cluster_types::MetadataError| FileError::Syntax(format!("meta: {e}"));
        config.set_metadata(file.meta).map_err(wrong)?;
        let FileSettings { membership, links, pool, peers, .. } = file;
        Tuning { membership, links, pool, peers }.apply(&mut config)?;
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
