//! `certkeeper status NAME --targets`: every copy, as it lies in the cluster now.

use std::{io::IsTerminal, process::ExitCode};

use comfy_table::{Attribute, Cell, Color};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{Found, Output};
use crate::{
    api::GatewayCertificate,
    cli::COULD_NOT_LOOK,
    cluster::{
        copies::{all_namespaces, look_once},
        gather::name_of,
        status,
        wants::wants,
    },
    lifecycle::targets::{CopyState, Standing, Survey},
};

/// A table shows this much of a fingerprint.
const SHOWN: usize = 16;

/// Looks at the copies of each object and shows them.
pub(super) async fn show(client: &Client, found: &Found, output: Output) -> Result<ExitCode, String> {
    let mut answers = Vec::new();
    for object in &found.objects {
        answers.push((object, look(client, object, found).await?));
    }
    match output {
        Output::Table => {
            let texts: Vec<String> = answers.iter().map(|(object, copies)| describe(object, copies)).collect();
            crate::cli::say(&texts.join("\n"))?;
        }
        Output::Json => {
            let items: Vec<Value> = answers.iter().map(|(object, copies)| json(object, copies)).collect();
            let text = serde_json::to_string_pretty(&json!({ "items": items })).map_err(|e| e.to_string())?;
            crate::cli::say(&text)?;
        }
    }
    Ok(code(answers.iter().flat_map(|(_, copies)| copies)))
}

async fn look(client: &Client, object: &GatewayCertificate, found: &Found) -> Result<Vec<Standing>, String> {
    let owner = name_of(object);
    let wants = wants(object);
    if wants.targets.is_empty() {
        return Ok(Vec::new());
    }
    let namespaces = all_namespaces(client).await?;
    let previous = object.status.as_ref().map(status::read).unwrap_or_default();
    let survey = Survey {
        owner: &owner,
        wants: &wants,
        namespaces: &namespaces,
        peers: &found.all,
        fingerprint: fingerprint(object),
        failures: previous.targets.as_ref().map(|targets| targets.failures.as_slice()).unwrap_or_default(),
    };
    look_once(client, &survey).await
}

/// The leaf that copies should hold.
fn fingerprint(object: &GatewayCertificate) -> Option<&str> {
    Some(object.status.as_ref()?.certificate.as_ref()?.fingerprint.as_str())
}

/// 1 where a copy is known not to be current, else 2 where one could not be looked at.
fn code<'a>(copies: impl Iterator<Item = &'a Standing>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for copy in copies {
        match copy.state {
            CopyState::Current => {}
            CopyState::Denied => code = ExitCode::from(COULD_NOT_LOOK),
            _ => return ExitCode::FAILURE,
        }
    }
    code
}

/// The stable form for programs: documented in docs/status.md.
fn json(object: &GatewayCertificate, copies: &[Standing]) -> Value {
    let copy = |copy: &Standing| {
        let mut value = json!({
            "target": copy.target, "namespace": copy.place.namespace, "secretName": copy.place.name,
            "state": copy.state.as_str(),
        });
        let owner = match &copy.state {
            CopyState::Foreign(owner) => Some(owner),
            _ => None,
        };
        let more = [("owner", owner), ("fingerprint", copy.fingerprint.as_ref()), ("message", copy.message.as_ref())];
        for (key, text) in more {
            if let Some(text) = text {
                value[key] = json!(text);
            }
        }
        value
    };
    json!({
        "namespace": object.namespace(), "name": object.name_any(), "fingerprint": fingerprint(object),
        "copies": copies.iter().map(copy).collect::<Vec<_>>(),
    })
}

fn describe(object: &GatewayCertificate, copies: &[Standing]) -> String {
    let mut text = name_of(object).to_string();
    if let Some(fingerprint) = fingerprint(object) {
        text += &format!("\n  fingerprint {fingerprint}");
    }
    if copies.is_empty() {
        return text + "\n  no copy is asked for: the spec names no targets, or their selectors match no namespace\n";
    }
    let current = copies.iter().filter(|copy| copy.state == CopyState::Current).count();
    text += &format!("\n  {current} of {} copies are current", copies.len());
    if let Some(distributed) = super::condition(object, "Distributed") {
        let (status, reason) = (&distributed.status, &distributed.reason);
        text += &format!("; certkeeper says Distributed={status} ({reason})");
    }
    let mut table = super::table();
    table.set_header(["Target", "Namespace", "Secret", "State", "Fingerprint"]);
    for copy in copies {
        let shown: String = copy.fingerprint.iter().flat_map(|fingerprint| fingerprint.chars().take(SHOWN)).collect();
        table.add_row([
            Cell::new(&copy.target),
            Cell::new(&copy.place.namespace),
            Cell::new(&copy.place.name),
            state(&copy.state),
            Cell::new(shown),
        ]);
    }
    text += &format!("\n{table}\n");
    for copy in copies {
        if let Some(message) = &copy.message {
            text += &format!("  {}, {}: {message}\n", copy.target, copy.place.namespace);
        }
    }
    text
}

fn state(state: &CopyState) -> Cell {
    let color = match state {
        CopyState::Current => Color::Green,
        CopyState::Behind | CopyState::Unknown | CopyState::Denied => Color::Yellow,
        _ => Color::Red,
    };
    let cell = Cell::new(state);
    if std::io::stdout().is_terminal() { cell.fg(color).add_attribute(Attribute::Bold) } else { cell }
}
