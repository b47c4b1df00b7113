//! `certkeeper check`: what is wrong with a certificate, before it goes anywhere.

use std::{path::PathBuf, process::ExitCode};

use chrono::{DateTime, Utc};

use super::ClusterArgs;
use crate::{
    certificate::{Context, Facts, Roots, Severity, Verdict, checks, judge},
    clock::{Clock, SystemClock},
};

mod input;
mod list;
mod render;
mod report;

pub use report::schema;

/// Kyma's documented TLS 1.2 cipher suites (FACTS "Kyma", the gateway's policy).
const KYMA_SUITES: [&str; 5] = [
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-SHA",
];

/// How the answer looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs; docs/check.schema.json is its schema.
    Json,
    /// The same in YAML.
    Yaml,
}

/// Arguments of `certkeeper check`.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// PEM file with the full chain, leaf first; - reads standard input
    #[arg(value_name = "FULLCHAIN", required_unless_present_any = ["values", "secret", "list"],
        conflicts_with_all = ["values", "secret", "list"])]
    certificate: Option<PathBuf>,
    /// PEM file with the private key; without it only the certificate is checked
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Kyma's values: global.tlsCrt, global.tlsKey and global.domainName
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "list"])]
    values: Option<PathBuf>,
    /// A Secret in the cluster, judged as Istio would read it
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "list", value_parser = input::secret_name)]
    secret: Option<crate::lifecycle::ObjectName>,
    /// Print all checks with severity, meaning and source
    #[arg(long)]
    list: bool,
    /// Host that must be covered, e.g. '*.example.com'; repeatable
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// PEM file with root certificates, to one of which the chain must lead
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Judge as at this time, e.g. 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    at: Option<DateTime<Utc>>,
    /// The gateway's TLS 1.2 cipher suites, comma-separated in OpenSSL's names, or "kyma" for Kyma's documented list
    #[arg(long, value_name = "SUITES")]
    cipher_suites: Option<String>,
    /// Lower an error of this check to a warning; repeatable; without effect where a gateway itself would refuse
    #[arg(long, value_name = "CHECK", value_parser = input::check_name)]
    warn: Vec<String>,
    /// Do not report this check; repeatable; without effect where a gateway itself would refuse
    #[arg(long, value_name = "CHECK", value_parser = input::check_name)]
    ignore: Vec<String>,
    /// Refuse for warnings, too
    #[arg(long)]
    warnings_as_errors: bool,
    /// How the answer looks
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: Output,
    /// No colours, also on a terminal (as the environment variable NO_COLOR)
    #[arg(long)]
    no_color: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What is to be judged.
struct Subject {
    /// Where it came from, for people.
    origin: String,
    facts: Facts,
    /// Hosts that the origin itself asks for.
    hosts: Vec<String>,
    cipher_suites: Vec<String>,
    key_expected: bool,
    /// What a person should know about the origin.
    notes: Vec<String>,
}

impl Check {
    pub(super) fn main(self) -> Result<ExitCode, String> {
        let color = render::color(self.no_color);
        if self.list {
            super::say(&list::list(self.output, color)?);
            return Ok(ExitCode::SUCCESS);
        }
        let roots = match &self.roots {
            Some(path) => {
                let pem = input::file(path)?;
                Some(Roots::from_pem(&pem).map_err(|wrong| format!("{}: {wrong}", path.display()))?)
            }
            None => None,
        };
        let subject = self.subject()?;
        let mut hosts = self.hosts.clone();
        hosts.extend(subject.hosts.iter().cloned());
        let suites = match self.cipher_suites.as_deref() {
            Some("kyma") => KYMA_SUITES.map(str::to_owned).to_vec(),
            Some(list) => list.split(',').map(|suite| suite.trim().to_owned()).filter(|s| !s.is_empty()).collect(),
            None => subject.cipher_suites.clone(),
        };
        let context = Context {
            hosts: &hosts,
            cipher_suites: &suites,
            roots: roots.as_ref(),
            warn: &self.warn,
            ignore: &self.ignore,
            key_expected: subject.key_expected,
            ..Context::new(self.at.unwrap_or_else(|| SystemClock.now()))
        };
        let verdict = judge(&subject.facts, &context);
        let refused = self.refuses(&verdict);
        let report = report::Report::new(&subject.facts, &verdict, refused);
        super::say(&match self.output {
            Output::Table => render::table(&subject, &report, color),
            Output::Json => serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?,
            Output::Yaml => serde_saphyr::to_string(&report).map_err(|e| e.to_string())?,
        });
        Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn refuses(&self, verdict: &Verdict) -> bool {
        let warns = || verdict.findings.iter().any(|finding| finding.severity == Severity::Warning);
        !verdict.is_good() || (self.warnings_as_errors && warns())
    }

    fn subject(&self) -> Result<Subject, String> {
        if let Some(path) = &self.values {
            return input::values(path);
        }
        if let Some(name) = &self.secret {
            return super::runtime()?.block_on(input::secret(name, self.cluster.clone()));
        }
        let standard_input = std::path::Path::new("-");
        let streams =
            [&self.certificate, &self.key, &self.roots].into_iter().flatten().filter(|p| *p == standard_input);
        if streams.count() > 1 {
            return Err("standard input (-) can be read only once: name files for the others".to_owned());
        }
        let certificate = self.certificate.as_ref().ok_or("name a certificate file, or - for standard input")?;
        input::files(certificate, self.key.as_deref())
    }
}

/// Whether a check of this name exists.
fn known(name: &str) -> bool {
    checks().iter().any(|check| check.name == name)
}
