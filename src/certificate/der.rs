//! The few bytes of DER that the libraries do not read for us: private key containers, OCSP responses,
//! name constraints. Definite lengths only, minimal encoding required, nothing allocated.

/// One element: its tag and its content.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
}

/// Tags used in this module's callers.
pub(super) mod tag {
    pub(in crate::certificate) const INTEGER: u8 = 0x02;
    pub(in crate::certificate) const OCTET_STRING: u8 = 0x04;
    pub(in crate::certificate) const OID: u8 = 0x06;
    pub(in crate::certificate) const ENUMERATED: u8 = 0x0a;
    pub(in crate::certificate) const GENERALIZED_TIME: u8 = 0x18;
    pub(in crate::certificate) const SEQUENCE: u8 = 0x30;
    /// `[n]`, constructed.
    pub(in crate::certificate) const fn context(n: u8) -> u8 {
        0xa0 | n
    }
}

/// Reads elements one after the other; `None` at the end and at the first malformed byte.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Nothing is left: after a loop of [`Reader::next`] this tells the end from garbage.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever its tag.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // High tag numbers occur in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, header) = length(rest)?;
        let end = header.checked_add(1)?.checked_add(length)?;
        let whole = self.0.get(..end)?;
        self.0 = &self.0[end..];
        Some(Element { tag, content: &whole[1 + header..] })
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let element = ahead.next().filter(|e| e.tag == tag)?;
        *self = ahead;
        Some(element.content)
    }
}

/// The length and how many bytes it takes. Minimal form only, as DER wants.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), 1));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let digits = rest.get(..count)?;
    let value = digits.iter().fold(0usize, |v, b| (v << 8) | usize::from(*b));
    (value >= 0x80 && digits[0] != 0).then_some((value, 1 + count))
}

/// The content of the one SEQUENCE that these bytes are.
pub(super) fn sequence(bytes: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(bytes);
    let content = reader.expect(tag::SEQUENCE)?;
    reader.is_empty().then_some(Reader::new(content))
}

/// Header and content of an element, for writing. The result is sized up front, so that no
/// reallocation leaves a copy of a key behind.
pub(super) fn write(tag: u8, parts: &[&[u8]]) -> zeroize::Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = zeroize::Zeroizing::new(Vec::with_capacity(length + 6));
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let digits = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(0)..];
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out
}

/// An INTEGER's digits without the leading zeros that only carry its sign.
pub(super) fn unsigned(content: &[u8]) -> &[u8] {
    let start = content.iter().position(|b| *b != 0).unwrap_or(content.len());
    &content[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for size in [0, 1, 127, 128, 255, 256, 65_536] {
            let content = vec![7u8; size];
            let written = write(tag::OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&written);
            assert_eq!(reader.expect(tag::OCTET_STRING), Some(content.as_slice()), "{size} bytes");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn lengths_that_are_indefinite_not_minimal_or_too_long_are_refused() {
        for bytes in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x81, 0x01, 0], &[0x30, 0x82, 0x00, 0x80], &[0x30, 0x05, 0]] {
            assert!(Reader::new(bytes).next().is_none(), "{bytes:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            let mut total = 0;
            while let Some(element) = reader.next() {
                total += element.content.len();
            }
            proptest::prop_assert!(total <= bytes.len());
        }
    }
}
