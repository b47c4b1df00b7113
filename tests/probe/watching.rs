//! `--watch`: rounds until somebody ends it.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::servers::{PKI, openssl};

/// A watch that is ended when dropped.
pub struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn begin(target: &str, more: &[&str]) -> Self {
        Self::of(&[&[target, "--sni", "a.example.com"], more].concat())
    }

    /// Watches whom these arguments name.
    pub fn of(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_certkeeper"))
            .args(["probe", "--watch", "--interval", "200ms", "--policy", "none"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// The next line that it writes.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").expect("UTF-8")
    }

    /// As Ctrl-C in a terminal does; answers with the exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill is there");
        assert!(sent.success());
        // What is still written goes nowhere else.
        for line in self.lines.by_ref() {
            drop(line);
        }
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn programs_get_a_document_a_line_and_the_last_verdict_is_the_exit_code() {
    let server = openssl(&PKI.rsa, &[]);
    let mut watch = Watch::begin(&server.address.to_string(), &["-o", "json"]);
    for _ in 0..3 {
        assert_eq!(json(&watch.line())["verdict"], "good");
    }
    drop(server);
    let reason = |round: &Value| round["servers"][0]["failure"]["reason"].as_str().map(str::to_owned);
    let mut last = json(&watch.line());
    while reason(&last).is_none() {
        last = json(&watch.line());
    }
    assert_eq!(last["verdict"], "unknown", "{last}");
    assert_eq!(watch.interrupt(), Some(2));
}

#[test]
fn people_get_the_whole_once_and_then_a_line_for_each_change() {
    let server = openssl(&PKI.rsa, &[]);
    let mut watch = Watch::begin(&server.address.to_string(), &["--expect-fingerprint", PKI.rsa.fingerprint()]);
    while !watch.line().trim_start().starts_with("GOOD") {}
    drop(server);
    let change = watch.line();
    assert!(change.contains("UNKNOWN") && change.contains("no handshake"), "{change}");
    assert_eq!(watch.interrupt(), Some(2));
}

#[test]
fn a_watch_of_a_good_server_that_is_ended_exits_with_0() {
    let server = openssl(&PKI.rsa, &[]);
    let mut watch = Watch::begin(&server.address.to_string(), &["-o", "json"]);
    assert_eq!(json(&watch.line())["verdict"], "good");
    assert_eq!(watch.interrupt(), Some(0));
}

#[test]
fn a_watch_that_nobody_reads_any_more_ends_by_itself() {
    let server = openssl(&PKI.rsa, &[]);
    let target = server.address.to_string();
    let watch = |more: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_certkeeper"))
            .args(["probe", &target, "--sni", "a.example.com", "--watch", "--interval", "200ms", "--policy", "none"])
            .args(["-o", more])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        drop(child.stdout.take());
        child.wait().expect("it ends").code()
    };
    assert_eq!([watch("json"), watch("yaml")], [Some(0), Some(0)]);
}
