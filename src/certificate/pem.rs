//! The container: from the bytes that somebody pasted to PEM blocks, with a note of everything that had to be
//! put right on the way (a byte order mark, carriage returns, base64 around the PEM, …).

use std::borrow::Cow;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// The most that one input may hold: several times the largest sane chain, far below a Secret's 1 MiB.
pub(super) const MAX_INPUT: usize = 64 * 1024;

/// People indent, wrap and cut padding; the bytes are what matters.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How deep base64 may lie around the PEM: `kubectl` values pasted into Helm values come encoded twice.
const MAX_LAYERS: usize = 2;

/// Malformed blocks that are told; each makes the material unusable already.
const MAX_MALFORMED: usize = 16;

/// One PEM block. Its bytes are wiped when it goes, for it may be a key.
#[derive(Clone)]
pub(super) struct Block {
    /// What stands between `-----BEGIN ` and `-----`.
    pub(super) label: String,
    /// The decoded body.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// It carries `Proc-Type: 4,ENCRYPTED`.
    pub(super) encrypted: bool,
    /// The line of the (normalised) text on which it begins, from 1.
    pub(super) line: usize,
}

/// Something odd about the container that is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// Base64 around the PEM: how many layers, and whether it was wrapped into lines.
    Base64 { layers: usize, wrapped: bool },
    /// A byte order mark, of this encoding.
    ByteOrderMark(&'static str),
    /// Lines end with CR LF or CR.
    CarriageReturns,
    /// `\n` spelt as two characters.
    EscapedNewlines,
    /// A block whose lines were joined into one.
    OneLine { line: usize },
    /// Something other than blanks outside of the blocks.
    TextOutside { line: usize },
    /// A block that cannot be read.
    Malformed { line: usize, label: String, why: &'static str },
}

/// What an input turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Not there, or blank.
    Missing,
    /// More than [`MAX_INPUT`] bytes; it was not looked into.
    TooLarge(usize),
    /// PEM blocks, perhaps malformed ones.
    Pem,
    /// Something else: what it is, and the command that makes PEM of it.
    Other { what: &'static str, remedy: &'static str },
}

/// An input, taken apart.
pub(super) struct Container {
    pub(super) shape: Shape,
    pub(super) notes: Vec<Note>,
    pub(super) blocks: Vec<Block>,
}

/// Takes an input of at most [`MAX_INPUT`] bytes apart. Total: any bytes give an answer.
pub(super) fn read(input: Option<&[u8]>) -> Container {
    read_at_most(input, MAX_INPUT)
}

/// The same with another bound, for bundles of roots.
pub(super) fn read_at_most(input: Option<&[u8]>, most: usize) -> Container {
    let mut notes = Vec::new();
    let input = input.unwrap_or_default();
    if input.len() > most {
        return Container { shape: Shape::TooLarge(input.len()), notes, blocks: Vec::new() };
    }
    let text = match normalise(input, &mut notes) {
        Ok(text) => text,
        Err(shape) => return Container { shape, notes, blocks: Vec::new() },
    };
    let blocks = scan(&text, &mut notes);
    Container { shape: Shape::Pem, notes, blocks }
}

/// Peels encodings until PEM appears.
fn normalise(input: &[u8], notes: &mut Vec<Note>) -> Result<Zeroizing<Vec<u8>>, Shape> {
    let mut text = without_mark(input, notes);
    let mut wrapped = false;
    for layers in 0..=MAX_LAYERS {
        if text.trim_ascii().is_empty() {
            return Err(Shape::Missing);
        }
        if contains(&text, b"-----BEGIN ") {
            if layers > 0 {
                notes.push(Note::Base64 { layers, wrapped });
            }
            return Ok(plain_lines(text, notes));
        }
        if let Some(shape) = binary(&text, layers) {
            return Err(shape);
        }
        wrapped |= text.trim_ascii().contains(&b'\n');
        match decode(&text) {
            Some(inner) => text = without_mark(&inner, notes),
            None => break,
        }
    }
    Err(Shape::Other {
        what: "neither PEM nor base64 of PEM",
        remedy: "supply the text that starts with -----BEGIN and ends with -----END, whole and unchanged",
    })
}

/// Names the binary formats that people supply in place of PEM. `layers` of base64 were around it.
fn binary(bytes: &[u8], layers: usize) -> Option<Shape> {
    let body = super::der::sequence(bytes)?;
    let mut reader = body;
    let first = reader.next()?;
    let second = reader.next();
    let (what, remedy) = if first.tag == super::der::tag::INTEGER && first.content == [3] && second.is_some() {
        ("PKCS#12 (.p12, .pfx)", "convert it: openssl pkcs12 -in FILE -nodes, and supply certificate and key as PEM")
    } else if first.tag == super::der::tag::OID {
        ("PKCS#7 (.p7b)", "convert it: openssl pkcs7 -inform DER -in FILE -print_certs")
    } else if first.tag == super::der::tag::INTEGER {
        ("a private key in DER", "convert it to PEM: openssl pkey -inform DER -in FILE")
    } else if layers > 0 {
        (
            "base64 without its PEM armour",
            "put -----BEGIN CERTIFICATE----- before and -----END CERTIFICATE----- after it",
        )
    } else {
        ("a certificate in DER", "convert it to PEM: openssl x509 -inform DER -in FILE")
    };
    Some(Shape::Other { what, remedy })
}

/// UTF-8 without a mark. UTF-16 is what Windows' shells write on `>`.
fn without_mark(input: &[u8], notes: &mut Vec<Note>) -> Zeroizing<Vec<u8>> {
    let (name, little) = match input {
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            notes.push(Note::ByteOrderMark("UTF-8"));
            return Zeroizing::new(rest.to_vec());
        }
        [0xff, 0xfe, ..] => ("UTF-16, little endian", true),
        [0xfe, 0xff, ..] => ("UTF-16, big endian", false),
        _ => return Zeroizing::new(input.to_vec()),
    };
    notes.push(Note::ByteOrderMark(name));
    // PEM is ASCII: a code unit above 127 cannot belong to it and becomes a question mark.
    let narrow = |pair: &[u8]| match (pair, little) {
        ([low, 0], true) | ([0, low], false) if low.is_ascii() => *low,
        _ => b'?',
    };
    let mut out = Zeroizing::new(Vec::with_capacity(input.len()));
    out.extend(input[2..].chunks(2).map(narrow));
    out
}

/// CR LF and CR become LF, and so does a spelt-out `\n`.
fn plain_lines(text: Zeroizing<Vec<u8>>, notes: &mut Vec<Note>) -> Zeroizing<Vec<u8>> {
    let carriage = text.contains(&b'\r');
    let escaped = contains(&text, b"-----\\n") || contains(&text, b"-----\\r\\n");
    if !carriage && !escaped {
        return text;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_slice();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\r', [b'\n', ..]) => continue,
            (b'\r', _) => out.push(b'\n'),
            (b'\\', [b'n', after @ ..]) if escaped => {
                out.push(b'\n');
                rest = after;
            }
            (b'\\', [b'r', after @ ..]) if escaped => rest = after,
            _ => out.push(byte),
        }
    }
    if carriage {
        notes.push(Note::CarriageReturns);
    }
    if escaped {
        notes.push(Note::EscapedNewlines);
    }
    out
}

/// Base64 in any wrapping; `None` if a byte does not belong to it.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut compact = Zeroizing::new(Vec::with_capacity(text.len()));
    compact.extend(text.iter().copied().filter(|b| !b.is_ascii_whitespace()));
    let mut out = Zeroizing::new(vec![0; compact.len() / 4 * 3 + 3]);
    let length = BASE64.decode_slice(&*compact, &mut out).ok()?;
    out.truncate(length);
    Some(out)
}

/// Splits normalised text into blocks. It gives up after [`MAX_MALFORMED`] that cannot be read.
fn scan(text: &[u8], notes: &mut Vec<Note>) -> Vec<Block> {
    let (mut blocks, mut outside, mut malformed, mut joined) = (Vec::new(), None, 0, false);
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut at = 0;
    while let Some(begin) = find(text, b"-----BEGIN ", at).filter(|_| malformed < MAX_MALFORMED) {
        outside = outside.or_else(|| text_at(text, at, begin).map(|at| lines.number(at)));
        let line = lines.number(begin);
        match block(text, begin, line) {
            Ok((block, end, one_line)) => {
                if one_line && !joined {
                    joined = true;
                    notes.push(Note::OneLine { line });
                }
                blocks.push(block);
                at = end;
            }
            Err((label, why, end)) => {
                malformed += 1;
                notes.push(Note::Malformed { line, label, why });
                at = end;
            }
        }
    }
    if malformed < MAX_MALFORMED {
        outside = outside.or_else(|| text_at(text, at, text.len()).map(|at| lines.number(at)));
    }
    notes.extend(outside.map(|line| Note::TextOutside { line }));
    blocks
}

/// Counts lines once, for places that only ever move on.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn number(&mut self, at: usize) -> usize {
        let passed = self.text.get(self.at..at).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count();
        self.at = self.at.max(at);
        self.line
    }
}

/// The block that begins at `begin`, where the text goes on, and whether it was joined into one line.
/// On failure: the label, why, and where the text goes on.
fn block(text: &[u8], begin: usize, line: usize) -> Result<(Block, usize, bool), (String, &'static str, usize)> {
    let label_at = begin + b"-----BEGIN ".len();
    let header = &text[label_at..];
    let line_end = header.iter().position(|b| *b == b'\n').unwrap_or(header.len());
    let Some(dashes) = find(&header[..line_end], b"-----", 0) else {
        return Err((String::new(), "its BEGIN line does not end with five dashes", label_at));
    };
    let label = super::names::printable(&String::from_utf8_lossy(&header[..dashes]), 60);
    let body_at = label_at + dashes + 5;
    let next = find(text, b"-----BEGIN ", body_at).unwrap_or(text.len());
    let Some(end) = find(text, b"-----END ", body_at).filter(|end| *end < next) else {
        return Err((label, "its END line is missing: the block was cut off", next));
    };
    let tail = &text[end + b"-----END ".len()..next];
    let Some(close) = find(tail, b"-----", 0) else {
        return Err((label, "its END line does not end with five dashes", next));
    };
    let after = end + b"-----END ".len() + close + 5;
    if String::from_utf8_lossy(&tail[..close]) != label {
        return Err((label, "its END line names another kind of block than its BEGIN line", after));
    }
    let body = &text[body_at..end];
    let (body, encrypted) = without_headers(body);
    let Some(der) = decode(body).filter(|der| !der.is_empty()) else {
        return Err((label, "its body is not base64", after));
    };
    let one_line = body.len() > 80 && !body.trim_ascii().contains(&b'\n');
    Ok((Block { label, der, encrypted, line }, after, one_line))
}

/// RFC 1421 headers (`Proc-Type: 4,ENCRYPTED`) end at a blank line.
fn without_headers(body: &[u8]) -> (&[u8], bool) {
    if !body.contains(&b':') {
        return (body, false);
    }
    let encrypted = contains(body, b"Proc-Type: 4,ENCRYPTED");
    let end = find(body, b"\n\n", 0).unwrap_or(0);
    (&body[end..], encrypted)
}

/// The first byte in `from..to` that is not blank.
fn text_at(text: &[u8], from: usize, to: usize) -> Option<usize> {
    text[from..to].iter().position(|b| !b.is_ascii_whitespace()).map(|offset| from + offset)
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    find(text, needle, 0).is_some()
}

fn find(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(needle.len()).position(|w| w == needle).map(|at| at + from)
}

/// PEM of one block: 64 characters a line, as RFC 7468 has it.
pub(super) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    let length = der.len().div_ceil(3) * 4;
    let mut encoded = Zeroizing::new(vec![0; length]);
    let written = BASE64.encode_slice(der, &mut encoded).unwrap_or(0);
    let mut out = Zeroizing::new(String::with_capacity(length + length / 64 + 2 * label.len() + 40));
    for part in ["-----BEGIN ", label, "-----\n"] {
        out.push_str(part);
    }
    for line in encoded[..written].chunks(64) {
        // Base64 is ASCII: nothing is ever replaced here.
        let text: Cow<'_, str> = String::from_utf8_lossy(line);
        out.push_str(&text);
        out.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        out.push_str(part);
    }
    out
}
