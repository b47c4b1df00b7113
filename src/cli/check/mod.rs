//! `certkeeper check`: what certkeeper would say of material, before it goes anywhere.

mod client_ca;
mod list;
mod render;
mod report;
mod stored;
mod values;

pub use report::schema;

use std::process::ExitCode;

use clap::{ArgAction, ArgGroup};

use self::report::{Checked, Report};
use super::{
    ClusterArgs,
    answer::{Look, Output, time},
    args,
    input::{self, Input, trusted},
};
use crate::{
    certificate::{self, Context, Facts, Finding, Roots, Severity, Supplied, judge, read},
    clock::{Clock, SystemClock},
    cluster::{client::connect, one, secrets::Seen},
    gateway::wire::KYMA_SUITES,
    lifecycle::ObjectName,
};

/// Arguments of `certkeeper check`.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["fullchain", "values", "secret", "client_ca", "list", "schema"])),
    after_help = "Exit code: 0 good (warnings allowed), 1 refused, 2 could not look.\n\
                  A FILE of - is standard input."
)]
pub(super) struct Check {
    /// Certificate chain in PEM, leaf first
    #[arg(value_name = "FULLCHAIN")]
    fullchain: Option<Input>,
    /// Private key of the leaf; without it the pair is not checked
    #[arg(long, value_name = "FILE", requires = "fullchain", conflicts_with_all = ["values", "secret", "client_ca", "list", "schema"])]
    key: Option<Input>,
    /// Kyma's values: global.tlsCrt and global.tlsKey, for *.<global.domainName>
    #[arg(long, value_name = "FILE")]
    values: Option<Input>,
    /// A Secret in the cluster, read as Istio would read it
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = args::secret)]
    secret: Option<ObjectName>,
    /// CA certificates for mutual TLS in PEM, as spec.clientCA takes them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hosts", "roots", "cipher_suites"])]
    client_ca: Option<Input>,
    /// List all checks with severity, meaning and source
    #[arg(long)]
    list: bool,
    /// Print the JSON Schema of --output json
    #[arg(long)]
    schema: bool,
    /// Host that the certificate must cover, e.g. '*.example.com'; repeatable
    #[arg(long = "host", value_name = "NAME", value_parser = args::host)]
    hosts: Vec<String>,
    /// Roots in PEM; the chain must lead to one of them
    #[arg(long, value_name = "FILE")]
    roots: Option<Input>,
    /// Judge as of this time, e.g. 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = args::instant)]
    at: Option<args::Instant>,
    /// The gateway's TLS 1.2 suites: kyma, default (Envoy's), or OpenSSL's names with commas
    /// [default: kyma with --values, else default]
    #[arg(long, value_name = "LIST", value_parser = args::suites)]
    cipher_suites: Option<args::Suites>,
    /// Check whose errors shall only warn; repeatable; never what a gateway itself would refuse
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = list::name)]
    warn: Vec<String>,
    /// Check that shall not be reported; repeatable; never what a gateway itself would refuse
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = list::name)]
    ignore: Vec<String>,
    /// Refuse what only warns, too
    #[arg(long)]
    warnings_as_errors: bool,
    /// How the answer looks
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: Output,
    /// No colour, as with NO_COLOR in the environment
    #[arg(long = "no-color", action = ArgAction::SetFalse)]
    color: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What was found to be judged.
struct Material {
    facts: Facts,
    /// Findings that come from where it was found, not from what it is.
    around: Vec<Finding>,
    /// Where its parts come from, in words.
    certificate: String,
    key: Option<String>,
    /// Hosts that the place itself requires.
    hosts: Vec<String>,
    cipher_suites: Vec<String>,
    key_expected: bool,
}

impl Check {
    pub(super) fn main(self) -> Result<ExitCode, String> {
        let look = Look::new(self.color);
        if self.schema {
            super::say(&schema())?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.list {
            super::say(&list::list(self.output, &look)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        input::at_most_one_is_standard_input(&[
            &self.fullchain,
            &self.key,
            &self.values,
            &self.client_ca,
            &self.roots,
        ])?;
        let report = self.report()?;
        super::say(&match self.output {
            Output::Table => render::report(&report, &look),
            Output::Json => serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?,
            Output::Yaml => serde_saphyr::to_string(&report).map_err(|e| e.to_string())?,
        })?;
        Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn report(&self) -> Result<Report, String> {
        if let Some(file) = &self.client_ca {
            return self.client_ca(file);
        }
        let seen = self.secret.as_ref().map(|secret| fetched(self.cluster.clone(), secret)).transpose()?;
        if let Some((name, seen)) = self.secret.as_ref().zip(seen.as_ref())
            && let Some((key, authorities)) = client_ca::stored_alone(seen.secret())
        {
            return Ok(self.judge_client_ca(format!("Secret {name}, key {key}"), &authorities));
        }
        let roots = self.roots.as_ref().map(trusted).transpose()?;
        let mut material = self.material(seen.as_ref())?;
        Ok(self.judge(&mut material, roots.as_ref()))
    }

    fn material(&self, seen: Option<&Seen>) -> Result<Material, String> {
        match (&self.fullchain, &self.values, self.secret.as_ref().zip(seen)) {
            (Some(fullchain), ..) => from_files(fullchain, self.key.as_ref()),
            (_, Some(values), _) => from_values(values, !self.hosts.is_empty()),
            (.., Some((name, seen))) => Ok(from_secret(name, seen)),
            // The group requires one of them.
            _ => Err("nothing to check: name a FULLCHAIN, --values or --secret".to_owned()),
        }
    }

    fn judge(&self, material: &mut Material, roots: Option<&Roots>) -> Report {
        let mut hosts = std::mem::take(&mut material.hosts);
        hosts.extend(self.hosts.iter().filter(|host| !hosts.contains(host)).cloned().collect::<Vec<_>>());
        let suites = self.cipher_suites.clone().map_or(std::mem::take(&mut material.cipher_suites), |suites| suites.0);
        let now = self.at.map_or_else(|| SystemClock.now(), |at| at.0);
        let context = Context {
            hosts: &hosts,
            cipher_suites: &suites,
            roots,
            warn: &self.warn,
            ignore: &self.ignore,
            key_expected: material.key_expected,
            ..Context::new(now)
        };
        let mut findings = judge(&material.facts, &context).findings;
        findings.extend(self.lowered(std::mem::take(&mut material.around)));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let checked = Checked {
            certificate: material.certificate.clone(),
            key: material.key.clone(),
            at: time(now),
            roots: self.roots.as_ref().map(ToString::to_string),
            hosts,
            cipher_suites: suites,
        };
        Report::new(checked, &findings, &material.facts, self.warnings_as_errors)
    }

    /// `--warn` and `--ignore` count for our own findings as for those of the table.
    fn lowered(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let named = |names: &[String], finding: &Finding| names.iter().any(|name| name == finding.check.name);
        let lower = |finding: Finding| Finding {
            severity: if named(&self.warn, &finding) {
                finding.severity.min(Severity::Warning)
            } else {
                finding.severity
            },
            ..finding
        };
        findings.into_iter().filter(|finding| !named(&self.ignore, finding)).map(lower).collect()
    }
}

fn from_files(fullchain: &Input, key: Option<&Input>) -> Result<Material, String> {
    let certificate = fullchain.read(input::MOST)?;
    let key_bytes = key.map(|key| key.read(input::MOST)).transpose()?;
    let supplied = Supplied {
        certificate: Some(&certificate),
        key: key_bytes.as_ref().map(|bytes| bytes.as_slice()),
        staple: None,
    };
    let facts = read(&supplied);
    // A key that lies among the certificates is used where none is given.
    let inside = facts.pair().map(|_| format!("among the certificates of {fullchain}"));
    Ok(Material {
        facts,
        around: Vec::new(),
        certificate: fullchain.to_string(),
        key: key.map(ToString::to_string).or(inside),
        hosts: Vec::new(),
        cipher_suites: Vec::new(),
        key_expected: key.is_some(),
    })
}

fn from_values(file: &Input, hosts_given: bool) -> Result<Material, String> {
    let values = values::read(&file.read(input::MOST_VALUES)?, &file.to_string())?;
    let supplied = Supplied { certificate: values.certificate(), key: values.key(), staple: None };
    Ok(Material {
        facts: read(&supplied),
        around: values.around(hosts_given),
        certificate: values.place(values::CERTIFICATE, supplied.certificate.is_some()),
        key: Some(values.place(values::KEY, supplied.key.is_some())),
        hosts: values.domain.iter().map(|domain| format!("*.{domain}")).collect(),
        cipher_suites: KYMA_SUITES.iter().map(ToString::to_string).collect(),
        key_expected: true,
    })
}

fn fetched(cluster: ClusterArgs, name: &ObjectName) -> Result<Seen, String> {
    super::runtime()?.block_on(async {
        let client = connect(&cluster.into()).await.map_err(|e| e.to_string())?;
        one::secret(client, name).await
    })
}

fn from_secret(name: &ObjectName, seen: &Seen) -> Material {
    let stored = stored::look(seen.secret());
    Material {
        certificate: format!("Secret {name}, {}", stored.certificate),
        key: Some(format!("Secret {name}, {}", stored.key)),
        facts: stored.facts,
        around: stored.findings,
        hosts: Vec::new(),
        cipher_suites: Vec::new(),
        key_expected: true,
    }
}

/// All checks: those of the material, those of a client CA, then those of the place where it lies.
fn all_checks() -> impl Iterator<Item = &'static certificate::Check> {
    let material = certificate::checks().iter().chain(certificate::authority_checks());
    material.copied().chain(values::CHECKS.iter().copied()).chain(stored::CHECKS.iter().copied())
}
