//! `certkeeper check --client-ca`: the CA certificates of mutual TLS, before they are supplied.

use super::{
    Check,
    report::{Checked, Report},
};
use crate::{
    certificate::{Context, judge_authorities, read_authorities},
    cli::{answer::time, input::Input},
    clock::{Clock, SystemClock},
};

impl Check {
    /// What is thought of the bundle in this file.
    pub(super) fn client_ca(&self, file: &Input) -> Result<Report, String> {
        // Somewhat more than is looked into, so that the finding is told in the words of the check.
        let authorities = read_authorities(Some(&file.read(crate::cli::input::MOST)?), false);
        let now = self.at.map_or_else(|| SystemClock.now(), |at| at.0);
        let context = Context { warn: &self.warn, ignore: &self.ignore, ..Context::new(now) };
        let findings = judge_authorities(&authorities, &context).findings;
        let checked = Checked {
            certificate: file.to_string(),
            key: None,
            at: time(now),
            roots: None,
            hosts: Vec::new(),
            cipher_suites: Vec::new(),
        };
        Ok(Report::of_client_ca(checked, &findings, &authorities, self.warnings_as_errors))
    }
}
