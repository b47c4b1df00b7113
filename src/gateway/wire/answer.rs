//! The first words of a server: a ServerHello or an alert (RFC 5246, 6.2.1, 7.2, 7.4.1.3; RFC 8446, 4.1.3). Pure, and
//! total: any bytes give an answer.
//!
//! Written by hand: the parsers at hand bring a tree of build-time dependencies with duplicates for what is forty bytes
//! here.

/// What a server's bytes so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not enough of them yet.
    More,
    /// It takes this version and suite.
    Hello { version: u16, suite: u16 },
    /// It refuses.
    Alert(u8),
    /// It is no TLS.
    NotTls,
    /// It is TLS that breaks the rules.
    Broken,
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const SUPPORTED_VERSIONS: u16 = 43;
const TLS13: u16 = 0x0304;
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;

/// A record's content is at most 2^14 bytes; some servers of old overdo it by a little.
const LONGEST_RECORD: usize = (1 << 14) + 2048;
/// A ServerHello has some hundred bytes.
const LONGEST_HELLO: usize = 4096;

/// The most that needs to be read for an answer.
pub(super) const MOST: usize = LONGEST_RECORD + 5;

/// Reads what came so far.
pub(super) fn read(bytes: &[u8]) -> Answer {
    let mut rest = bytes;
    // A handshake message may be spread over records.
    let mut message: Vec<u8> = Vec::new();
    loop {
        let (kind, content, after) = match record(rest) {
            Ok(Some(record)) => record,
            Ok(None) => return Answer::More,
            Err(answer) => return answer,
        };
        rest = after;
        match (kind, content) {
            // A warning that is no farewell (unrecognized_name, say) goes before the answer.
            (ALERT, [WARNING, alert]) if *alert != CLOSE_NOTIFY && message.is_empty() => {}
            (ALERT, [_, alert]) => return Answer::Alert(*alert),
            (HANDSHAKE, content) if !content.is_empty() => {
                message.extend(content);
                match hello(&message) {
                    Answer::More => {}
                    answer => return answer,
                }
            }
            _ => return Answer::Broken,
        }
    }
}

type Record<'a> = (u8, &'a [u8], &'a [u8]);

/// One record: its kind, as much of its content as is there, and what follows it.
fn record(bytes: &[u8]) -> Result<Option<Record<'_>>, Answer> {
    match bytes {
        [] => return Ok(None),
        [kind, ..] if !(20..=23).contains(kind) => return Err(Answer::NotTls),
        [_, major, ..] if *major != 3 => return Err(Answer::NotTls),
        _ => {}
    }
    let Some((&[kind, _, _, high, low], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_RECORD {
        return Err(Answer::Broken);
    }
    // A long record need not be there as a whole: the ServerHello at its beginning is enough.
    Ok(match rest.split_at_checked(length) {
        Some((content, after)) => Some((kind, content, after)),
        None if kind == HANDSHAKE && !rest.is_empty() => Some((kind, rest, &[])),
        None => None,
    })
}

/// A handshake message that has to be a ServerHello (a HelloRetryRequest has its form, and says as much).
fn hello(message: &[u8]) -> Answer {
    let Some((&[kind, a, b, c], body)) = message.split_first_chunk() else { return Answer::More };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if kind != SERVER_HELLO || length > LONGEST_HELLO {
        return Answer::Broken;
    }
    let Some(body) = body.get(..length) else { return Answer::More };
    fields(body).unwrap_or(Answer::Broken)
}

/// `None`: too short for what it should hold.
fn fields(body: &[u8]) -> Option<Answer> {
    let (version, rest) = body.split_first_chunk()?;
    let (_random, rest) = rest.split_at_checked(32)?;
    let (session, rest) = rest.split_first()?;
    let (_session, rest) = rest.split_at_checked(usize::from(*session))?;
    let (suite, rest) = rest.split_first_chunk()?;
    let (_compression, rest) = rest.split_first()?;
    let legacy = u16::from_be_bytes(*version);
    let version = if rest.is_empty() { legacy } else { chosen(rest)?.unwrap_or(legacy) };
    Some(Answer::Hello { version, suite: u16::from_be_bytes(*suite) })
}

/// The version in the extension supported_versions; `Some(None)` without it, which no TLS 1.3 server leaves out.
fn chosen(extensions: &[u8]) -> Option<Option<u16>> {
    let (length, rest) = extensions.split_first_chunk()?;
    let mut rest = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    while !rest.is_empty() {
        let (kind, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let (content, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if u16::from_be_bytes(*kind) == SUPPORTED_VERSIONS {
            let version: &[u8; 2] = content.try_into().ok()?;
            return Some(Some(u16::from_be_bytes(*version)).filter(|version| *version == TLS13));
        }
        rest = after;
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server_hello(version: u16, suite: u16, extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([9; 32]);
        body.extend([2, 0xaa, 0xbb]);
        body.extend(suite.to_be_bytes());
        body.push(0);
        if !extensions.is_empty() {
            body.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
            body.extend(extensions);
        }
        let mut message = vec![SERVER_HELLO, 0, 0, u8::try_from(body.len()).expect("short")];
        message.extend(body);
        message
    }

    fn in_records(kind: u8, content: &[u8], size: usize) -> Vec<u8> {
        let records = content.chunks(size);
        records.flat_map(|part| [&[kind, 3, 3, 0, u8::try_from(part.len()).expect("short")], part].concat()).collect()
    }

    const TAKES_TLS13: [u8; 12] = [0, 51, 0, 2, 0, 29, 0, 43, 0, 2, 3, 4];

    #[test]
    fn a_server_hello_tells_version_and_suite_however_it_is_cut() {
        for size in [1, 7, 255] {
            let bytes = in_records(HANDSHAKE, &server_hello(0x0303, 0xc02f, &[]), size);
            assert_eq!(read(&bytes), Answer::Hello { version: 0x0303, suite: 0xc02f }, "{size}");
            let bytes = in_records(HANDSHAKE, &server_hello(0x0303, 0x1301, &TAKES_TLS13), size);
            assert_eq!(read(&bytes), Answer::Hello { version: 0x0304, suite: 0x1301 }, "{size}");
            for end in 0..bytes.len() {
                let cut = read(&bytes[..end]);
                assert_eq!(cut, Answer::More, "{size}, {end} bytes of {}", bytes.len());
            }
        }
    }

    #[test]
    fn a_record_with_more_behind_the_hello_need_not_be_complete() {
        let mut content = server_hello(0x0301, 0x002f, &[]);
        content.extend([11, 0, 0, 100]);
        let mut bytes = vec![HANDSHAKE, 3, 1, 0x20, 0];
        bytes.extend(content);
        assert_eq!(read(&bytes), Answer::Hello { version: 0x0301, suite: 0x002f });
    }

    #[test]
    fn an_alert_refuses_unless_it_only_warns() {
        assert_eq!(read(&[ALERT, 3, 1, 0, 2, 2, 70]), Answer::Alert(70));
        assert_eq!(read(&[ALERT, 3, 1, 0, 2, WARNING, CLOSE_NOTIFY]), Answer::Alert(0));
        let mut warned = vec![ALERT, 3, 3, 0, 2, WARNING, 112];
        assert_eq!(read(&warned), Answer::More);
        warned.extend(in_records(HANDSHAKE, &server_hello(0x0303, 0xc02f, &[]), 255));
        assert_eq!(read(&warned), Answer::Hello { version: 0x0303, suite: 0xc02f });
    }

    #[test]
    fn what_is_no_answer_is_called_by_its_name() {
        assert_eq!(read(b"HTTP/1.1 400 Bad Request"), Answer::NotTls);
        assert_eq!(read(b"220 mail"), Answer::NotTls);
        assert_eq!(read(&[HANDSHAKE, 9]), Answer::NotTls);
        assert_eq!(read(&[HANDSHAKE, 3, 3, 0xff, 0xff]), Answer::Broken);
        assert_eq!(read(&[HANDSHAKE, 3, 3, 0, 4, 1, 0, 0, 0]), Answer::Broken, "a ClientHello is no answer");
        assert_eq!(read(&[23, 3, 3, 0, 1, 0]), Answer::Broken, "application data is no answer");
        assert_eq!(read(&[HANDSHAKE, 3, 3, 0, 5, 2, 0, 0, 1, 3]), Answer::Broken, "too short for a ServerHello");
        assert_eq!(read(&[]), Answer::More);
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            read(&bytes);
        }

        #[test]
        fn any_bytes_that_begin_as_a_hello_give_an_answer(bytes: Vec<u8>, cut in 1_usize..80) {
            let mut start = in_records(HANDSHAKE, &server_hello(0x0303, 0x1301, &TAKES_TLS13), 255);
            start.truncate(cut);
            start.extend(bytes);
            read(&start);
        }

        #[test]
        fn a_changed_byte_gives_an_answer(at in 0_usize..70, byte: u8) {
            let mut bytes = in_records(HANDSHAKE, &server_hello(0x0303, 0x1301, &TAKES_TLS13), 255);
            let at = at % bytes.len();
            bytes[at] = byte;
            read(&bytes);
        }
    }
}
