//! Translated addresses: what others see of a host is not what it is bound to, and changes while links are open.
//!
//! Where a host is bound it is reached all the time, as over a port that is forwarded. What it sends of its own accord comes from an outer
//! address, which the translation picks and may forget; what it sends to somebody who has reached it comes from where that was. So links
//! that it has dialled move to the new address with its next packet, and the former one leads nowhere.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A host's address as it is seen from outside.
#[derive(Debug)]
struct Outer {
    /// How often it was bound anew.
    times: u16,
    addr: SocketAddr,
    /// At which of its addresses each other host, by where that is bound, has reached it last.
    reached_at: HashMap<SocketAddr, SocketAddr>,
}

/// The hosts whose address was bound anew, by where they are bound.
#[derive(Debug, Default)]
pub(super) struct Translations {
    outer: HashMap<SocketAddr, Outer>,
    /// Where the owners of outer addresses are bound.
    inner: HashMap<SocketAddr, SocketAddr>,
    /// Outer addresses that were forgotten.
    former: HashMap<SocketAddr, SocketAddr>,
}

impl Translations {
    /// What others see of a host changes; the former outer address leads nowhere.
    pub(super) fn rebind(&mut self, bound: SocketAddr) {
        let former = self.outer.remove(&bound);
        let times = former.as_ref().map_or(1, |outer| outer.times + 1);
        if let Some(former) = former {
            self.inner.remove(&former.addr);
            self.former.insert(former.addr, bound);
        }
        let addr = outer_addr(bound, times);
        self.inner.insert(addr, bound);
        self.outer.insert(bound, Outer { times, addr, reached_at: HashMap::new() });
    }

    /// Where what is sent to an address goes: the same where nothing is translated, nowhere where the translation has forgotten it.
    pub(super) fn inner(&self, to: SocketAddr) -> Option<SocketAddr> {
        match self.inner.get(&to) {
            Some(bound) => Some(*bound),
            None if self.former.contains_key(&to) => None,
            None => Some(to),
        }
    }

    /// Where a packet from a bound address to another one seems to come from.
    pub(super) fn source(&self, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        self.outer.get(&from).map_or(from, |outer| *outer.reached_at.get(&to).unwrap_or(&outer.addr))
    }

    /// A packet that seems to come from an address has reached a bound one at `to`: what goes back comes from there.
    pub(super) fn note_arrival(&mut self, from: SocketAddr, to: SocketAddr, bound: SocketAddr) {
        let from = self.inner(from);
        if let (Some(outer), Some(from)) = (self.outer.get_mut(&bound), from) {
            outer.reached_at.insert(from, to);
        }
    }
}

/// Another port, and every other time another address, too: QUIC takes the first for the same path, and measures the second anew.
fn outer_addr(bound: SocketAddr, times: u16) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if times.is_multiple_of(2) => {
            let [_, b, c, d] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(100, b, c, d))
        }
        ip => ip,
    };
    SocketAddr::new(ip, bound.port().wrapping_add(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 7_000))
    }

    /// 1 is behind the translation, 2 is not.
    #[test]
    fn the_former_address_leads_nowhere_and_the_bound_one_is_reached_all_the_time() {
        let mut translations = Translations::default();
        let [one, two] = [addr(1), addr(2)];
        assert_eq!((translations.source(one, two), translations.inner(one)), (one, Some(one)), "nothing is translated");
        translations.rebind(one);
        let first = translations.source(one, two);
        assert_eq!(first, SocketAddr::from(([10, 0, 0, 1], 7_001)));
        assert_eq!(translations.inner(first), Some(one));
        translations.rebind(one);
        let second = translations.source(one, two);
        assert_eq!(second, SocketAddr::from(([100, 0, 0, 1], 7_002)));
        assert_eq!([first, second, one].map(|to| translations.inner(to)), [None, Some(one), Some(one)]);
        assert_eq!(translations.source(two, one), two);
    }

    #[test]
    fn who_was_reached_answers_from_where_it_was_reached() {
        let mut translations = Translations::default();
        let [one, two] = [addr(1), addr(2)];
        translations.rebind(one);
        let outer = translations.source(one, two);
        // 2 dials it where it is bound.
        translations.note_arrival(two, one, one);
        assert_eq!((translations.source(one, two), translations.source(one, addr(3))), (one, outer));
        translations.note_arrival(two, outer, one);
        assert_eq!(translations.source(one, two), outer);
        translations.rebind(one);
        assert_ne!(translations.source(one, two), outer, "what was is forgotten");
        // The other side has one, too: it is known by where it is bound.
        translations.rebind(two);
        translations.note_arrival(translations.source(two, one), one, one);
        assert_eq!(translations.source(one, two), one);
    }
}
