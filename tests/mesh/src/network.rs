//! Loopback addresses of a mesh's own.

use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// Held at a network's first address for as long as its mesh lives: whoever finds it taken looks for another network.
/// Two Envoys at one address would both be able to bind it and share its connections without a word (SO_REUSEPORT).
const LEASE: u16 = 15999;
/// All of them taken 50 times in a row is no accident.
const ATTEMPTS: usize = 50;

/// The addresses `127.x.y.0/24`, which no other mesh on this machine has. All of 127.0.0.0/8 is loopback on Linux.
#[derive(Debug)]
pub(crate) struct Network {
    second: u8,
    third: u8,
    _lease: TcpListener,
}

impl Network {
    /// A network that nobody holds.
    pub(crate) fn lease() -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let (second, third) = (fastrand::u8(1..=250), fastrand::u8(1..=250));
            if let Ok(lease) = TcpListener::bind((Ipv4Addr::new(127, second, third, 1), LEASE)) {
                return Ok(Self { second, third, _lease: lease });
            }
        }
        Err(Error::NoNetwork(LEASE))
    }

    /// Its address with this last number.
    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, self.third, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_held_is_not_leased_again() {
        let held = Network::lease().expect("a network");
        let again = TcpListener::bind((held.address(1), LEASE));
        assert!(again.is_err());
    }
}
