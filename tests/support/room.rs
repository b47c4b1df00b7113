//! A folder with files in it, in which the program is run; no answer may hold a byte of the keys that lie there.

use std::{
    fmt,
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// How many characters of a key count as a leak. Chance does not make as many.
const WINDOW: usize = 16;

/// A folder of its own, and the keys that are watched over.
pub struct Room {
    folder: tempfile::TempDir,
    /// Each form in which a key could be shown: its base64, the base64 of its PEM.
    secrets: Vec<String>,
}

/// What the program answered.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\n{}{}", self.code, self.out, self.err)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The first finding of this check.
    pub fn finding(&self, check: &str) -> Option<Value> {
        self.json()["findings"].as_array()?.iter().find(|finding| finding["check"] == check).cloned()
    }
}

impl Room {
    pub fn new(keys: impl IntoIterator<Item = String>) -> Self {
        let body = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let secrets = keys.into_iter().flat_map(|pem| [body(&pem), STANDARD.encode(&pem)]).collect();
        Self { folder: tempfile::tempdir().expect("a folder"), secrets }
    }

    /// Writes a file; answers with its path.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub fn check(&self, arguments: &[&str]) -> Answer {
        self.check_with(arguments, b"")
    }

    /// Runs `certkeeper check` with this on its standard input.
    pub fn check_with(&self, arguments: &[&str], input: &[u8]) -> Answer {
        self.run("check", arguments, input)
    }

    /// Runs `certkeeper probe`.
    pub fn probe(&self, arguments: &[&str]) -> Answer {
        self.run("probe", arguments, b"")
    }

    fn run(&self, command: &str, arguments: &[&str], input: &[u8]) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_certkeeper"))
            .arg(command)
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // It may end without having read its input.
        let _ = child.stdin.take().expect("piped").write_all(input);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let answer =
            Answer { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
        self.watch_over_keys(arguments, &answer);
        answer
    }

    fn watch_over_keys(&self, arguments: &[&str], answer: &Answer) {
        // A table breaks lines; a key does not become harmless by that.
        let shown: String = format!("{}{}", answer.out, answer.err).split_whitespace().collect();
        for secret in &self.secrets {
            let leak = secret
                .as_bytes()
                .windows(WINDOW)
                .find(|window| shown.contains(std::str::from_utf8(window).expect("base64 is ASCII")));
            assert!(leak.is_none(), "{arguments:?} shows a part of a private key");
        }
    }
}

#[test]
#[should_panic(expected = "shows a part of a private key")]
fn a_room_notices_a_leak() {
    let room = Room::new(["-----BEGIN PRIVATE KEY-----\nabcdefghijklmnopqrstuvwxyz\n-----END-----\n".to_owned()]);
    room.check(&["x", "--at", "__jklmnopqrstuvwxyz__"]);
}
