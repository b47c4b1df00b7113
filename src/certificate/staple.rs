//! An OCSP response (RFC 6960) that is to be stapled: just enough of it to see whether it is worth serving.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::der::{self, Reader, tag};

/// What the response says about the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    Revoked,
    Unknown,
}

/// What is known of a staple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StapleFacts {
    /// It cannot be read, or is no successful response: why.
    Malformed(&'static str),
    /// Its first answer.
    Read { serial: Vec<u8>, standing: Standing, this_update: DateTime<Utc>, next_update: Option<DateTime<Utc>> },
}

/// Reads a staple. Total.
pub(super) fn read(bytes: &[u8]) -> StapleFacts {
    if bytes.len() > super::pem::MAX_INPUT {
        return StapleFacts::Malformed("it is larger than 64 KiB");
    }
    response(bytes).unwrap_or_else(StapleFacts::Malformed)
}

fn response(bytes: &[u8]) -> Result<StapleFacts, &'static str> {
    let broken = "it is no OCSP response in DER";
    let mut outer = der::sequence(bytes).ok_or(broken)?;
    if outer.expect(tag::ENUMERATED).ok_or(broken)? != [0] {
        return Err("the OCSP responder answered with an error instead of a status");
    }
    let wrapped = outer.expect(tag::context(0)).ok_or(broken)?;
    let mut wrapped = der::sequence(wrapped).ok_or(broken)?;
    wrapped.expect(tag::OID).ok_or(broken)?;
    let basic = wrapped.expect(tag::OCTET_STRING).ok_or(broken)?;
    let data = der::sequence(basic).and_then(|mut basic| basic.expect(tag::SEQUENCE)).ok_or(broken)?;
    single(Reader::new(data)).ok_or(broken)
}

/// The first SingleResponse of a ResponseData.
fn single(mut data: Reader<'_>) -> Option<StapleFacts> {
    let mut element = data.next()?;
    if element.tag == tag::context(0) {
        element = data.next()?;
    }
    // responderID, either way of naming it.
    if element.tag != tag::context(1) && element.tag != tag::context(2) {
        return None;
    }
    data.expect(tag::GENERALIZED_TIME)?;
    let responses = data.expect(tag::SEQUENCE)?;
    let mut single = Reader::new(Reader::new(responses).expect(tag::SEQUENCE)?);
    let mut id = Reader::new(single.expect(tag::SEQUENCE)?);
    id.expect(tag::SEQUENCE)?;
    id.expect(tag::OCTET_STRING)?;
    id.expect(tag::OCTET_STRING)?;
    let serial = id.expect(tag::INTEGER)?.to_vec();
    let standing = match single.next()?.tag & 0x1f {
        0 => Standing::Good,
        1 => Standing::Revoked,
        _ => Standing::Unknown,
    };
    let this_update = time(single.expect(tag::GENERALIZED_TIME)?)?;
    let next_update = match single.expect(tag::context(0)) {
        Some(wrapped) => Some(time(Reader::new(wrapped).expect(tag::GENERALIZED_TIME)?)?),
        None => None,
    };
    Some(StapleFacts::Read { serial, standing, this_update, next_update })
}

/// `YYYYMMDDHHMMSSZ`, the only form that RFC 5280 allows.
fn time(content: &[u8]) -> Option<DateTime<Utc>> {
    let text = std::str::from_utf8(content).ok()?;
    NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%SZ").ok().map(|naive| naive.and_utc())
}
