//! The PROXY protocol's header, which a gateway may want before anything else
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! A probe is nobody's proxy: it says so with the form that the specification has for that, `LOCAL` (2.2) or
//! `UNKNOWN` (2.1), which every receiver must accept and for which it takes the connection's own addresses. No
//! address is made up that way.

/// Which header goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ProxyHeader {
    /// None: the first byte is the client's.
    #[default]
    None,
    /// The human-readable one, version 1.
    V1,
    /// The binary one, version 2.
    V2,
}

/// What version 2 begins with: bytes that no other protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 in the upper half, the command LOCAL in the lower.
const LOCAL: u8 = 0x20;

impl ProxyHeader {
    /// The header's bytes; none for [`ProxyHeader::None`].
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
            Self::V2 => {
                // Family and protocol unspecified, no address follows.
                let unspecified = [0, 0, 0];
                [SIGNATURE.as_slice(), &[LOCAL], &unspecified].concat()
            }
        }
    }

    /// As the flag and the API have it: `none`, `v1`, `v2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_specification() {
        assert_eq!(ProxyHeader::None.bytes(), b"");
        assert_eq!(ProxyHeader::V1.bytes(), b"PROXY UNKNOWN\r\n");
        // 2.2: twelve bytes of signature, version and command, family and protocol, the length of what follows.
        let v2 = ProxyHeader::V2.bytes();
        assert_eq!(v2[..12], [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
        assert_eq!(v2[12..], [0x20, 0x00, 0x00, 0x00]);
    }
}
