//! Reads Rust source just far enough to know which paths it names.

/// A path as written, such as `["crate", "cluster", "gather"]`, and the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// All paths of two or more parts, and every path that a `use` brings in, groups written out.
pub(crate) fn paths(source: &str) -> Vec<Named> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // `use<'a>` in a return type lists what it captures; it imports nothing.
        if tokens[at].text == "use" && tokens.get(at + 1).is_some_and(|token| token.text != "<") {
            at = use_tree(&tokens, at + 1, &[], &mut found);
        } else if is_word(&tokens[at].text) {
            let (named, next) = plain_path(&tokens, at);
            if named.path.len() > 1 {
                found.push(named);
            }
            at = next;
        } else {
            at += 1;
        }
    }
    found
}

/// Lines with `cfg(test)` or `cfg(not(test))` on anything but a `mod`: a decision that differs under test.
pub(crate) fn test_only_decisions(source: &str) -> Vec<usize> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut lines = Vec::new();
    for at in 0..tokens.len() {
        if text(at) != "cfg" && text(at) != "cfg_attr" {
            continue;
        }
        let inside: Vec<&str> = (at + 1..tokens.len()).map(text).take_while(|part| *part != "]").collect();
        if inside.contains(&"test") && !(inside == ["(", "test", ")"] && is_module(&tokens, at + 1 + inside.len() + 1))
        {
            lines.push(tokens[at].line);
        }
    }
    lines
}

/// Whether a (possibly public) `mod` stands at `at`, after more attributes.
fn is_module(tokens: &[Token], mut at: usize) -> bool {
    while tokens.get(at).is_some_and(|token| token.text == "#") {
        at += tokens[at..].iter().position(|token| token.text == "]").unwrap_or(tokens.len()) + 1;
    }
    let words = ["pub", "(", "crate", "super", ")"];
    tokens[at.min(tokens.len())..]
        .iter()
        .find(|token| !words.contains(&token.text.as_str()))
        .is_some_and(|token| token.text == "mod")
}

/// `a::b::c`; generic arguments end it, their own paths are read on their own.
fn plain_path(tokens: &[Token], start: usize) -> (Named, usize) {
    let mut path = vec![tokens[start].text.clone()];
    let mut at = start + 1;
    while tokens.get(at).is_some_and(|token| token.text == "::")
        && tokens.get(at + 1).is_some_and(|token| is_word(&token.text))
    {
        path.push(tokens[at + 1].text.clone());
        at += 2;
    }
    (Named { path, line: tokens[start].line }, at)
}

/// One branch of a `use`; gives the place after it.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = use_tree(tokens, at, &path, found);
                    match tokens.get(at).map(|token| token.text.as_str()) {
                        Some(",") => at += 1,
                        Some("}") => {}
                        // No Rust: whatever it is, go on after it.
                        _ => return at + 1,
                    }
                }
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
    found.push(Named { path, line });
    at
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single punctuation marks; without comments, strings, characters, lifetimes and numbers.
fn tokens(source: &str) -> Vec<Token> {
    let bytes: Vec<char> = source.chars().collect();
    let (mut at, mut line, mut tokens) = (0, 1, Vec::new());
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = skipped(rest).unwrap_or_else(|| {
            let length = token_length(rest);
            let text: String = rest[..length].iter().collect();
            if !text.trim().is_empty() && !rest[0].is_ascii_digit() {
                tokens.push(Token { text, line });
            }
            length
        });
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn token_length(rest: &[char]) -> usize {
    let word = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
    if word > 0 {
        word
    } else if rest.starts_with(&[':', ':']) {
        2
    } else {
        1
    }
}

/// The length of a comment, string, character or lifetime at the beginning of `rest`.
fn skipped(rest: &[char]) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().take_while(|c| **c != '\n').count()),
        ['/', '*', ..] => Some(block_comment(rest)),
        ['"', ..] => Some(string(rest)),
        ['r', '"' | '#', ..] => raw_string(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] => raw_string(rest, 2),
        ['b' | 'c', '"', ..] => Some(1 + string(&rest[1..])),
        ['\'', '\\', ..] => {
            // The escaped character itself may be a quote: '\''.
            let end = rest.iter().skip(3).position(|c| *c == '\'').unwrap_or(rest.len() - 3);
            Some((3 + end + 1).min(rest.len()))
        }
        ['\'', _, '\'', ..] => Some(3),
        ['\'', ..] => Some(1 + rest[1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()),
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `None` for a raw identifier such as `r#type`.
fn raw_string(rest: &[char], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let body = &rest[open + 1..];
    let length = (0..body.len()).find(|at| body[*at..].starts_with(&end)).unwrap_or(body.len());
    Some((open + 1 + length + end.len()).min(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::{paths, test_only_decisions};

    fn named(source: &str) -> Vec<String> {
        paths(source).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn a_use_with_groups_is_written_out() {
        assert_eq!(
            named("pub(crate) use crate::{api, cluster::{self, gather::{a as b, *}}, certificate as c};"),
            [
                "crate::api",
                "crate::cluster::self",
                "crate::cluster::gather::a",
                "crate::cluster::gather::*",
                "crate::certificate"
            ]
        );
        assert_eq!(named("use kube;"), ["kube"]);
        assert_eq!(named("use ::kube::{Api,};"), ["kube::Api"]);
    }

    #[test]
    fn paths_in_code_are_found_between_all_that_only_looks_like_one() {
        let source = r####"
            // crate::comment::line
            /* crate::comment::block /* crate::nested::block */ crate::still::comment */
            fn f<'a>(x: &'a crate::api::Kind<tokio::sync::Mutex<u8>>) -> char {
                let text = "crate::in_a::string \" crate::still::string";
                let raw = r#"crate::raw::string" crate::still::raw"#;
                let bytes = b"crate::byte::string";
                let (quote, character) = ('\'', 'c');
                let r#type = crate::lifecycle::decide();
                Utc::now()
            }
        "####;
        assert_eq!(named(source), ["crate::api::Kind", "tokio::sync::Mutex", "crate::lifecycle::decide", "Utc::now"]);
    }

    #[test]
    fn what_only_begins_like_an_import_ends() {
        assert_eq!(named("fn f() -> impl Future + use<> {} a::b"), ["a::b"]);
        assert_eq!(named("fn f<'a>() -> impl Sized + use<'a, Self> {} use c::d;"), ["c::d"]);
        assert!(named("use a::{b; c").contains(&"a::b".to_owned()));
        assert!(named("use {").is_empty());
        assert!(named("use").is_empty());
    }

    #[test]
    fn a_path_knows_its_line() {
        let lines: Vec<usize> =
            paths("\n/* two\nlines */ a::b;\n\"\n\"; c::d").iter().map(|named| named.line).collect();
        assert_eq!(lines, [3, 5]);
    }

    #[test]
    fn test_modules_are_fine_and_decisions_under_test_are_not() {
        assert!(test_only_decisions("#[cfg(test)]\nmod tests {}").is_empty());
        assert!(test_only_decisions("#[cfg(test)]\n#[path = \"x.rs\"]\npub(crate) mod tests;").is_empty());
        assert!(test_only_decisions("#[cfg(feature = \"x\")] fn f() {}").is_empty());
        assert_eq!(test_only_decisions("#[cfg(test)]\nfn now() {}"), [1]);
        assert_eq!(test_only_decisions("\n#[cfg(not(test))]\nmod real {}"), [2]);
        assert_eq!(test_only_decisions("let x = if cfg!(test) { 1 } else { 2 };"), [1]);
    }
}
