//! From quinn's errors to ours: who is to blame, and what is wrong with whose certificate.

use std::net::SocketAddr;

use quinn::{ApplicationClose, ConnectionClose};

use crate::transport::{CertificateFault, CloseCode, ConnectError, ConnectionError, Side};

/// TLS alerts travel in QUIC as 0x100 + alert (RFC 9001, 4.8).
const CRYPTO: u64 = 0x100;

pub(super) fn connect_error(addr: SocketAddr, error: quinn::ConnectionError) -> ConnectError {
    match connection_error(error) {
        ConnectionError::TimedOut => ConnectError::NoAnswer { addr },
        ConnectionError::ClosedHere { .. } => ConnectError::ShuttingDown,
        source => ConnectError::Handshake { addr, source },
    }
}

pub(super) fn connection_error(error: quinn::ConnectionError) -> ConnectionError {
    use quinn::ConnectionError as Quinn;
    match error {
        Quinn::LocallyClosed => ConnectionError::ClosedHere { code: CloseCode::DONE },
        Quinn::ApplicationClosed(ApplicationClose { error_code, .. }) => {
            let code = u32::try_from(error_code.into_inner()).unwrap_or(u32::MAX);
            ConnectionError::ClosedByPeer { code: CloseCode(code) }
        }
        Quinn::Reset => ConnectionError::Reset,
        Quinn::TimedOut => ConnectionError::TimedOut,
        Quinn::TransportError(e) => transport_error(Side::Here, e.code.into(), e.reason),
        Quinn::ConnectionClosed(ConnectionClose { error_code, reason, .. }) => {
            transport_error(Side::Peer, error_code.into(), String::from_utf8_lossy(&reason).into_owned())
        }
        other @ (Quinn::VersionMismatch | Quinn::CidsExhausted) => {
            ConnectionError::Incompatible { detail: other.to_string() }
        }
    }
}

/// rustls wraps the sentence of a foreign verifier error in the names of its own types.
fn unwrapped(detail: String) -> String {
    let inner = detail.split_once("Other(OtherError(").and_then(|(_, rest)| rest.strip_suffix("))"));
    inner.map_or(detail.clone(), str::to_owned)
}

fn transport_error(side: Side, code: u64, detail: String) -> ConnectionError {
    let detail = unwrapped(detail);
    let Some(alert) = code.checked_sub(CRYPTO).and_then(|a| u8::try_from(a).ok()) else {
        return ConnectionError::Transport { detail: format!("{detail} (code {code:#x})") };
    };
    if side == Side::Peer && alert == ACCESS_DENIED && detail.contains("no server certificate") {
        // rustls ends a handshake in which it has none to show: it is not this node's that is missing.
        return ConnectionError::Certificate { side: Side::Here, fault: CertificateFault::Missing, detail };
    }
    match certificate_fault(alert, &detail) {
        Some(fault) => ConnectionError::Certificate { side, fault, detail },
        None if alert == NO_APPLICATION_PROTOCOL => ConnectionError::Incompatible { detail },
        None => ConnectionError::Transport { detail: format!("{detail} (TLS alert {alert})") },
    }
}

const ACCESS_DENIED: u8 = 49;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// Alerts by number: RFC 8446, 6.2.
fn certificate_fault(alert: u8, detail: &str) -> Option<CertificateFault> {
    Some(match alert {
        // rustls says "not valid yet" with the same alert as "expired"; its words tell them apart.
        45 if detail.contains("NotValidYet") || detail.contains("not valid yet") => CertificateFault::NotYetValid,
        45 => CertificateFault::Expired,
        48 => CertificateFault::OtherAuthority,
        // An authority of the same name, with another key: another cluster that is called the same.
        51 if detail.contains("BadSignature") => CertificateFault::OtherAuthority,
        116 => CertificateFault::Missing,
        44 => CertificateFault::Revoked,
        46 | 49 => CertificateFault::WrongIdentity,
        42 | 43 | 51 => CertificateFault::Invalid,
        _ => return None,
    })
}
