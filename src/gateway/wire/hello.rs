//! A ClientHello, byte by byte (RFC 5246, 7.4.1.2; RFC 8446, 4.1.2). Pure: chance comes in through a parameter.

use std::net::IpAddr;

use super::survey::Version;

/// What one question offers.
#[derive(Debug, Clone)]
pub(super) struct Hello<'a> {
    /// The one version on offer.
    pub(super) version: Version,
    /// The suites on offer.
    pub(super) suites: &'a [u16],
    /// The host asked for; an IP address is not sent.
    pub(super) name: &'a str,
    /// Random bytes: the client's random, then a session id, then a key share (TLS 1.3).
    pub(super) random: [u8; 96],
}

/// Groups: X25519, P-256, P-384, P-521.
const GROUPS: [u16; 4] = [0x001d, 0x0017, 0x0018, 0x0019];
const X25519: u16 = 0x001d;
/// Signatures that a server may answer with: all that a gateway's key may make, SHA-1 for TLS 1.2 servers of old.
const SIGNATURES: [u16; 12] =
    [0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201];

impl Hello<'_> {
    /// The record, ready to be sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (random, rest) = self.random.split_at(32);
        let session = &rest[..32];
        // TLS 1.3 passes itself off as 1.2 here, and gives a session id, for the sake of middleboxes.
        let (legacy, session) = match self.version {
            Version::Tls13 => (Version::Tls12.number(), session),
            other => (other.number(), &[][..]),
        };
        let mut body = Vec::new();
        body.extend(legacy.to_be_bytes());
        body.extend(random);
        body.extend(sized8(session));
        body.extend(sized16(&list(self.suites)));
        // One compression method: none.
        body.extend([1, 0]);
        body.extend(sized16(&self.extensions()));
        let mut message = vec![1];
        message.extend(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()[1..]);
        message.extend(body);
        // The record's own version: what the oldest servers expect of a first flight.
        let mut record = vec![22, 3, 1];
        record.extend(sized16(&message));
        record
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if self.name.parse::<IpAddr>().is_err() {
            // server_name: a list with one host_name.
            let entry = [&[0], sized16(self.name.as_bytes()).as_slice()].concat();
            all.extend(extension(0, &sized16(&entry)));
        }
        all.extend(extension(10, &sized16(&list(&GROUPS))));
        if self.version != Version::Tls13 {
            // Uncompressed points; extended master secret; no renegotiation to speak of.
            all.extend(extension(11, &sized8(&[0])));
            all.extend(extension(23, &[]));
            all.extend(extension(0xff01, &sized8(&[])));
        }
        if self.version >= Version::Tls12 {
            all.extend(extension(13, &sized16(&list(&SIGNATURES))));
        }
        if self.version == Version::Tls13 {
            all.extend(extension(43, &sized8(&Version::Tls13.number().to_be_bytes())));
            // Any 32 bytes are an X25519 share; nobody will ever know its key.
            let share = [X25519.to_be_bytes().as_slice(), &sized16(&self.random[64..])].concat();
            all.extend(extension(51, &sized16(&share)));
        }
        all
    }
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().as_slice(), &sized16(content)].concat()
}

fn list(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// With one byte of length before it. Everything here is far shorter than what that byte can say.
fn sized8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap_or(u8::MAX)], content].concat()
}

/// With two bytes of length before it.
fn sized16(content: &[u8]) -> Vec<u8> {
    [u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes().as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use rustls::server::Acceptor;

    use super::*;

    fn hello(version: Version, name: &str) -> Vec<u8> {
        Hello { version, suites: &[0xc02f, 0xc02b, 0x1301], name, random: [7; 96] }.bytes()
    }

    #[test]
    fn rustls_reads_our_hello_and_finds_what_was_put_in() {
        for version in [Version::Tls12, Version::Tls13] {
            let bytes = hello(version, "a.example.com");
            let mut acceptor = Acceptor::default();
            acceptor.read_tls(&mut bytes.as_slice()).expect("read");
            let accepted = acceptor.accept().unwrap_or_else(|(error, _)| panic!("{error}")).expect("a whole hello");
            let read = accepted.client_hello();
            assert_eq!(read.server_name(), Some("a.example.com"));
            let suites: Vec<u16> = read.cipher_suites().iter().map(|suite| u16::from(*suite)).collect();
            assert_eq!(suites, [0xc02f, 0xc02b, 0x1301]);
            assert_eq!(read.signature_schemes().len(), SIGNATURES.len());
        }
    }

    #[test]
    fn lengths_fit_what_they_measure() {
        for version in [Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13] {
            for name in ["a.example.com", "192.0.2.1", "2001:db8::1"] {
                let bytes = hello(version, name);
                assert_eq!(usize::from(u16::from_be_bytes([bytes[3], bytes[4]])), bytes.len() - 5);
                assert_eq!(usize::from(bytes[7]) * 256 + usize::from(bytes[8]), bytes.len() - 9);
                let sends_name = bytes.windows(name.len()).any(|window| window == name.as_bytes());
                assert_eq!(sends_name, name == "a.example.com", "an IP address is never sent (RFC 6066, 3)");
            }
        }
    }
}
