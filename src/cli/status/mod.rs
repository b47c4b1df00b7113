//! `certkeeper status`

mod targets;

use std::{collections::BTreeSet, io::IsTerminal, process::ExitCode};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::{ClusterArgs, Output};
use crate::{
    api::GatewayCertificate,
    cluster::{client::connect, error::bounded, gather::name_of},
};

/// Arguments of `certkeeper status`.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Show only this one
    name: Option<String>,
    /// Namespace to look in [default: the context's]
    #[arg(long, short = 'n', value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// Look in all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// List every copy of NAME's targets, as it lies in the cluster now
    #[arg(long)]
    targets: bool,
    /// How the answer looks
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: Output,
}

/// What was found.
struct Found {
    /// Those that were asked for.
    objects: Vec<GatewayCertificate>,
    /// Every one that is there, as `namespace/name`.
    all: BTreeSet<String>,
}

impl Status {
    pub(super) fn main(self) -> Result<ExitCode, String> {
        let (output, targets) = (self.output, self.targets);
        if targets && self.name.is_none() {
            let message = "--targets lists the copies of one GatewayCertificate: give its NAME";
            return Err(format!("{message}, as in `certkeeper status NAME --targets`"));
        }
        super::runtime()?.block_on(async {
            let client = connect(&self.cluster.clone().into()).await.map_err(|e| e.to_string())?;
            let found = self.look(&client).await?;
            if targets { targets::show(&client, &found, output).await } else { show(&found.objects, output) }
        })
    }

    async fn look(self, client: &Client) -> Result<Found, String> {
        let namespace = self.namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let api: Api<GatewayCertificate> =
            if self.all_namespaces { Api::all(client.clone()) } else { Api::namespaced(client.clone(), &namespace) };
        let explain = |error| match error {
            crate::cluster::error::CallError::Stale => {
                "the server has no GatewayCertificates: apply `certkeeper crds` first".to_owned()
            }
            crate::cluster::error::CallError::Failed(_, message) => message,
        };
        let mut objects = bounded(api.list(&kube::api::ListParams::default())).await.map_err(explain)?.items;
        let all = objects.iter().map(|object| name_of(object).to_string()).collect();
        if let Some(name) = self.name {
            objects.retain(|object| object.name_any() == name);
            if objects.is_empty() {
                return Err(format!(
                    "there is no GatewayCertificate {name} in {}",
                    place(self.all_namespaces, &namespace)
                ));
            }
        }
        if objects.is_empty() {
            return Err(format!("there is no GatewayCertificate in {}", place(self.all_namespaces, &namespace)));
        }
        Ok(Found { objects, all })
    }
}

/// Shows each object, as its status tells of it.
fn show(objects: &[GatewayCertificate], output: Output) -> Result<ExitCode, String> {
    let _ = match output {
        Output::Table => super::say(&objects.iter().map(describe).collect::<Vec<_>>().join("\n"))?,
        Output::Json => super::say(&serde_json::to_string_pretty(&json(objects)).map_err(|e| e.to_string())?)?,
    };
    let unwell = objects.iter().any(|object| condition(object, "Ready").is_none_or(|ready| ready.status == "False"));
    Ok(if unwell { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn place(all: bool, namespace: &str) -> String {
    if all { "any namespace".to_owned() } else { format!("namespace {namespace} (see -n and -A)") }
}

fn condition<'a>(
    object: &'a GatewayCertificate,
    kind: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// The stable form for programs: documented in docs/status.md.
fn json(objects: &[GatewayCertificate]) -> Value {
    let item = |object: &GatewayCertificate| {
        json!({
            "namespace": object.namespace(), "name": object.name_any(), "generation": object.metadata.generation,
            "status": object.status,
        })
    };
    json!({ "items": objects.iter().map(item).collect::<Vec<_>>() })
}

fn describe(object: &GatewayCertificate) -> String {
    let status = object.status.clone().unwrap_or_default();
    let mut text = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    if let Some(mode) = &status.mode {
        text += &format!("  mode {mode}");
    }
    if let Some(certificate) = &status.certificate {
        text += &format!(
            "\n  {}\n  valid {} to {}\n  issuer {}\n  fingerprint {}",
            certificate.dns_names.join(", "),
            certificate.not_before,
            certificate.not_after,
            certificate.issuer,
            certificate.fingerprint
        );
    }
    if let Some(ca) = &status.client_ca {
        let end = ca.not_after.as_ref().map(|end| format!(", valid until {end}")).unwrap_or_default();
        let plural = if ca.certificates == 1 { "" } else { "s" };
        text += &format!("\n  client CA: {} certificate{plural}{end}, fingerprint {}", ca.certificates, ca.fingerprint);
    }
    if status.conditions.is_empty() {
        return text + "\n  nothing known yet: is `certkeeper run` serving this namespace?\n";
    }
    let mut table = table();
    table.set_header(["Condition", "Status", "Reason", "Message"]);
    for condition in &status.conditions {
        let (cell, color) = (Cell::new(&condition.status), color(&condition.status));
        table.add_row([
            Cell::new(&condition.type_),
            if std::io::stdout().is_terminal() { cell.fg(color).add_attribute(Attribute::Bold) } else { cell },
            Cell::new(&condition.reason),
            Cell::new(&condition.message),
        ]);
    }
    text += &format!("\n{table}\n");
    for entry in status.history.iter().take(5) {
        text += &format!("  {}  {}  {}\n", entry.time, entry.reason, entry.message);
    }
    text
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(120);
    }
    table
}

fn color(status: &str) -> Color {
    match status {
        "True" => Color::Green,
        "False" => Color::Red,
        _ => Color::Yellow,
    }
}
