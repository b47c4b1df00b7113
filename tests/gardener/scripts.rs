//! What is played on both.

use serde_json::{Value, json};

/// One step of a script. `NS` in a string is the script's own name, `NOW` the time.
#[derive(Clone, Debug)]
pub enum Step {
    /// Somebody applies a Certificate with this spec (beside names and `secretRef`); whether it meets a conflict.
    Apply(Value, bool),
    /// Somebody changes the Certificate by a merge patch.
    Merge(Value),
    /// Somebody changes the Secret by a merge patch.
    MergeSecret(Value),
    /// Somebody asks for a look: `gardener.cloud/operation: reconcile`.
    Touch,
    /// Somebody deletes the Certificate.
    Delete,
    /// Somebody deletes the Secret.
    DeleteSecret,
    /// The script's own issuer is created, with its CA or without.
    Issuer { with_ca: bool },
    /// The script's own issuer is created as a self-signed one.
    SelfSigned,
    /// Its CA's Secret is damaged.
    Damage,
    /// Its CA's Secret is deleted.
    Remove,
    /// Its CA's Secret is (back) as it should be.
    Mend,
    /// Awaited: this state, a message that begins so, and so many different leaves seen so far.
    Until(&'static str, &'static str, usize),
    /// Nothing changes for so many seconds, in which each Certificate is looked at once.
    Silence,
    /// The certificate has ended.
    PastTheEnd,
    /// The Certificate changes once more.
    Change,
    /// The clock's next second but one: times in specs have whole seconds.
    Second,
}

use Step::*;

/// So says a healthy one.
const ISSUED: &str = "certificate (SN ";

pub fn a_certificate_is_created_and_a_short_form_of_its_duration_rewritten() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "10m"}), false),
        Until("Ready", ISSUED, 1),
        Apply(json!({"duration": "10m"}), true),
        Apply(json!({"duration": "10m0s"}), false),
        Silence,
        Touch,
        Until("Ready", ISSUED, 1),
    ]
}

pub fn a_deleted_secret_is_missed_by_nobody_until_a_touch() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "50h0m0s", "privateKey": {"algorithm": "ECDSA", "size": 256}}), false),
        Until("Ready", ISSUED, 1),
        Second,
        DeleteSecret,
        Touch,
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_renewal_is_forced_by_a_time_and_by_renew() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "10m0s"}), false),
        Until("Ready", ISSUED, 1),
        Second,
        Apply(json!({"duration": "10m0s", "ensureRenewedAfter": "NOW"}), false),
        Until("Ready", ISSUED, 2),
        // Beside a stale time `renew` does nothing, and is taken away.
        Merge(json!({"spec": {"renew": true}})),
        Until("Ready", ISSUED, 2),
        Second,
        Merge(json!({"spec": {"renew": true, "ensureRenewedAfter": null}})),
        Until("Ready", ISSUED, 3),
    ]
}

pub fn other_names_are_issued_at_once() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "10m0s", "privateKey": {"algorithm": "RSA", "size": 3072}}), false),
        Until("Ready", ISSUED, 1),
        Apply(
            json!({"duration": "10m0s", "dnsNames": ["*.other.NS.example.com"],
            "privateKey": {"algorithm": "RSA", "size": 3072}}),
            false,
        ),
        Until("Ready", ISSUED, 2),
        // A longer life alone is no reason to issue.
        Apply(
            json!({"duration": "20m0s", "dnsNames": ["*.other.NS.example.com"],
            "privateKey": {"algorithm": "RSA", "size": 3072}}),
            false,
        ),
        Until("Ready", ISSUED, 2),
        // Another kind of key is.
        Apply(
            json!({"duration": "20m0s", "dnsNames": ["*.other.NS.example.com"],
            "privateKey": {"algorithm": "ECDSA", "size": 384, "encoding": "PKCS8"}}),
            false,
        ),
        Until("Ready", ISSUED, 3),
    ]
}

pub fn an_issuer_that_is_missing_and_then_there_is_noticed_at_a_touch() -> Vec<Step> {
    vec![
        Apply(json!({"issuerRef": {"name": "NS"}}), false),
        Until("Error", "fetching issuer failed: issuers.cert.gardener.cloud \"NS\" not found", 0),
        Issuer { with_ca: true },
        Silence,
        Touch,
        Until("Ready", ISSUED, 1),
    ]
}

pub fn an_issuer_without_its_ca_is_waited_for_in_silence() -> Vec<Step> {
    vec![
        Issuer { with_ca: false },
        Apply(json!({"issuerRef": {"name": "NS"}}), false),
        Silence,
        Mend,
        Until("Ready", ISSUED, 1),
    ]
}

pub fn a_damaged_ca_fails_a_forced_renewal_until_it_is_mended_and_touched() -> Vec<Step> {
    vec![
        Issuer { with_ca: true },
        Apply(json!({"issuerRef": {"name": "NS"}}), false),
        Until("Ready", ISSUED, 1),
        Damage,
        Silence,
        Apply(json!({"issuerRef": {"name": "NS"}, "ensureRenewedAfter": "NOW"}), false),
        Until("Error", "referenced issuer not ready: state=Error", 1),
        // A second failure at once is waited out for longer, a changed spec begins anew.
        Apply(json!({"issuerRef": {"name": "NS"}, "ensureRenewedAfter": "NOW", "duration": "100h0m0s"}), false),
        Until("Error", "referenced issuer not ready: state=Error", 1),
        Mend,
        Silence,
        Touch,
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_certificate_that_is_created_again_takes_its_secret_over() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "10m0s"}), false),
        Until("Ready", ISSUED, 1),
        Delete,
        Silence,
        Apply(json!({"duration": "10m0s"}), false),
        Until("Ready", ISSUED, 1),
        Delete,
        Apply(json!({"duration": "10m0s", "dnsNames": ["new.NS.example.com"]}), false),
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_spec_that_cannot_be_met_is_told_and_waited_out_for_a_day() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "1m0s"}), false),
        Until("Error", "certificate duration must be at least 2m0s", 0),
        Apply(json!({"duration": "10m0s", "privateKey": {"algorithm": "RSA", "size": 256}}), false),
        Until("Error", "", 0),
        Apply(json!({"dnsNames": ["a.NS.example.com", "a.NS.example.com"]}), false),
        Until("Error", "duplicate domain: a.NS.example.com", 0),
        Apply(json!({"dnsNames": []}), false),
        Until("Error", "either domains or csr must be specified", 0),
        Apply(json!({"duration": "99999h0m0s"}), false),
        Until("Error", "certificate lifetime (", 0),
        Apply(json!({"duration": "1h0m0s", "renewBefore": "10m"}), false),
        Until("Ready", ISSUED, 1),
        Merge(json!({"spec": {"renewBefore": "4m0s"}})),
        Until("Error", "renewBefore must be at least 5 minutes (4m0s)", 1),
        Merge(json!({"spec": {"renewBefore": "56m0s"}})),
        Until("Error", "renewBefore must not be greater than the duration", 1),
    ]
}

pub fn what_somebody_adds_to_the_secret_goes_or_stays_alike() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "10m0s", "secretLabels": {"team": "a"}}), false),
        Until("Ready", ISSUED, 1),
        MergeSecret(json!({"metadata": {"labels": {"mine": "x"}, "annotations": {"mine": "y"}},
            "data": {"cert": "eA=="}})),
        Merge(json!({"spec": {"secretLabels": {"team": "b"}}})),
        Until("Ready", ISSUED, 1),
        Second,
        Merge(json!({"spec": {"renew": true}})),
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_revoked_secret_is_told_of_and_replaced_when_that_is_forced() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "10m0s"}), false),
        Until("Ready", ISSUED, 1),
        // What is left by a CertificateRevocation that is done.
        MergeSecret(json!({"metadata": {"annotations": {"cert.gardener.cloud/revoked": "true"}}})),
        Touch,
        Until("Revoked", "certificate has been revoked", 1),
        Second,
        Apply(json!({"duration": "10m0s", "ensureRenewedAfter": "NOW"}), false),
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_self_signed_issuer_makes_cas_only() -> Vec<Step> {
    vec![
        SelfSigned,
        Apply(json!({"issuerRef": {"name": "NS"}}), false),
        Until("Error", "self signed certificates must set 'spec.isCA: true'", 0),
    ]
}

pub fn a_renewal_is_made_before_the_end() -> Vec<Step> {
    vec![Apply(json!({"duration": "2m0s"}), false), Until("Ready", ISSUED, 1), Until("Ready", ISSUED, 2)]
}

pub fn a_certificate_ends_in_silence_while_its_issuers_ca_is_gone() -> Vec<Step> {
    vec![
        Issuer { with_ca: true },
        Apply(json!({"issuerRef": {"name": "NS"}, "duration": "2m0s"}), false),
        Until("Ready", ISSUED, 1),
        Remove,
        PastTheEnd,
        Until("Ready", ISSUED, 1),
        Mend,
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_damaged_ca_is_told_of_when_a_renewal_is_due() -> Vec<Step> {
    vec![
        Issuer { with_ca: true },
        Apply(json!({"issuerRef": {"name": "NS"}, "duration": "2m0s"}), false),
        Until("Ready", ISSUED, 1),
        Damage,
        Until("Error", "referenced issuer not ready: state=Error", 1),
        Mend,
        Silence,
        Touch,
        Until("Ready", ISSUED, 2),
    ]
}

/// With a look at each Certificate once a day, the default.
pub fn a_planned_renewal_is_lost_and_ready_said_beyond_the_end() -> Vec<Step> {
    vec![
        Apply(json!({"duration": "2m0s"}), false),
        Until("Ready", ISSUED, 1),
        PastTheEnd,
        Until("Ready", ISSUED, 1),
        Touch,
        Until("Ready", ISSUED, 2),
    ]
}

pub fn a_failure_is_waited_out_longer_each_time() -> Vec<Step> {
    vec![
        Apply(json!({"issuerRef": {"name": "NS"}}), false),
        Until("Error", "fetching issuer failed: issuers.cert.gardener.cloud \"NS\" not found", 0),
        Change,
    ]
}

pub fn a_mended_ca_is_used_once_the_backoff_has_ended() -> Vec<Step> {
    vec![
        Issuer { with_ca: true },
        Apply(json!({"issuerRef": {"name": "NS"}, "duration": "10m0s"}), false),
        Until("Ready", ISSUED, 1),
        Damage,
        Second,
        Apply(json!({"issuerRef": {"name": "NS"}, "duration": "10m0s", "ensureRenewedAfter": "NOW"}), false),
        Until("Error", "referenced issuer not ready: state=Error", 1),
        Mend,
        Until("Ready", ISSUED, 2),
    ]
}
