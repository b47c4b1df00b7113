//! The status as the API has it, and as the decision has it.

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{self, Time},
    jiff::Timestamp,
};

use crate::{
    api::{
        CertificateStatus, ClientCaStatus, FindingStatus, GatewayCertificateStatus, GatewayStatus, HistoryEntry,
        IssuanceStatus, PlacedCopies, PodStatus, ReloadStatus, TargetFailure, TargetsStatus,
    },
    lifecycle::{
        CertificateSummary, Condition, ConditionStatus, Entry, FindingSummary, GatewayReport, ObjectName, PodReport,
        Status,
        client_ca::ClientCaSummary,
        gardener::Issuance,
        reload::{Record, Rung},
        targets::{CopyFailure, Placed, TargetsReport},
    },
};

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).map_or(DateTime::UNIX_EPOCH, |time| time.with_timezone(&Utc))
}

/// The domain's time as k8s-openapi's.
#[must_use]
pub fn to_api(time: DateTime<Utc>) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// From the API.
#[must_use]
pub fn read(status: &GatewayCertificateStatus) -> Status {
    Status {
        observed_generation: status.observed_generation.unwrap_or_default(),
        mode: status.mode.clone(),
        domain: status.domain.clone(),
        conditions: status.conditions.iter().map(read_condition).collect(),
        certificate: status.certificate.as_ref().map(|certificate| CertificateSummary {
            fingerprint: certificate.fingerprint.clone(),
            serial: certificate.serial.clone(),
            issuer: certificate.issuer.clone(),
            dns_names: certificate.dns_names.clone(),
            not_before: time(&certificate.not_before),
            not_after: time(&certificate.not_after),
            renew_at: certificate.renew_at.as_deref().map(time),
        }),
        issuance: status.issuance.as_ref().map(read_issuance),
        client_ca: status.client_ca.as_ref().map(|ca| ClientCaSummary {
            fingerprint: ca.fingerprint.clone(),
            certificates: usize::try_from(ca.certificates).unwrap_or_default(),
            not_after: ca.not_after.as_deref().map(time),
        }),
        findings: status.findings.iter().map(read_finding).collect(),
        served: status.served.as_deref().and_then(read_served),
        gateways: status.gateways.iter().map(read_gateway).collect(),
        reload: status.reload.as_ref().map(read_reload),
        targets: status.targets.as_ref().map(read_targets),
        history: status.history.iter().map(read_entry).collect(),
        history_total: status.history_total,
    }
}

fn read_issuance(issuance: &IssuanceStatus) -> Issuance {
    Issuance {
        certificate: issuance.certificate.clone(),
        state: issuance.state.clone(),
        requested: issuance.requested_at.as_deref().map(time),
        pushed: issuance.pushed_at.as_deref().map(time),
        fingerprint: issuance.fingerprint.clone(),
        revoked: issuance.revoked.clone(),
    }
}

fn write_issuance(issuance: &Issuance) -> IssuanceStatus {
    IssuanceStatus {
        certificate: issuance.certificate.clone(),
        state: issuance.state.clone(),
        requested_at: issuance.requested.map(text),
        pushed_at: issuance.pushed.map(text),
        fingerprint: issuance.fingerprint.clone(),
        revoked: issuance.revoked.clone(),
    }
}

fn read_condition(condition: &v1::Condition) -> Condition {
    Condition {
        kind: condition.type_.clone(),
        status: match condition.status.as_str() {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        },
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: super::gather::from_api(&condition.last_transition_time),
        generation: condition.observed_generation.unwrap_or_default(),
    }
}

fn read_finding(finding: &FindingStatus) -> FindingSummary {
    FindingSummary {
        check: finding.check.clone(),
        severity: finding.severity.clone(),
        message: finding.message.clone(),
        location: finding.location.clone(),
        remedy: finding.remedy.clone(),
    }
}

fn read_served(text: &str) -> Option<(usize, usize)> {
    let (serving, ready) = text.split_once('/')?;
    Some((serving.parse().ok()?, ready.parse().ok()?))
}

fn length(n: i32) -> usize {
    usize::try_from(n).unwrap_or_default()
}

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn read_gateway(gateway: &GatewayStatus) -> GatewayReport {
    let pod = |pod: &PodStatus| PodReport {
        pod: pod.pod.clone(),
        fingerprint: pod.fingerprint.clone(),
        reason: pod.reason.clone(),
        since: time(&pod.since),
    };
    GatewayReport {
        name: ObjectName::new(&gateway.namespace, &gateway.name),
        pods: length(gateway.pods),
        serving: length(gateway.serving),
        differing: gateway.differing.iter().map(pod).collect(),
    }
}

fn write_gateway(gateway: &GatewayReport) -> GatewayStatus {
    let pod = |pod: &PodReport| PodStatus {
        pod: pod.pod.clone(),
        fingerprint: pod.fingerprint.clone(),
        reason: pod.reason.clone(),
        since: text(pod.since),
    };
    GatewayStatus {
        namespace: gateway.name.namespace.clone(),
        name: gateway.name.name.clone(),
        pods: number(gateway.pods),
        serving: number(gateway.serving),
        differing: gateway.differing.iter().map(pod).collect(),
    }
}

fn read_reload(reload: &ReloadStatus) -> Record {
    Record {
        fingerprint: reload.fingerprint.clone(),
        rung: Rung::parse(&reload.rung),
        time: time(&reload.time),
        since: reload.since.as_deref().map(time),
        pods: length(reload.pods.unwrap_or_default()),
        evicted: length(reload.evicted.unwrap_or_default()),
        pod: reload.pod.clone(),
        uid: reload.uid.clone(),
    }
}

fn write_reload(record: &Record) -> ReloadStatus {
    let count = |n: usize| Some(number(n)).filter(|_| record.rung == Rung::Restart);
    ReloadStatus {
        fingerprint: record.fingerprint.clone(),
        rung: record.rung.as_str().to_owned(),
        time: text(record.time),
        since: record.since.map(text),
        pods: count(record.pods),
        evicted: count(record.evicted),
        pod: record.pod.clone(),
        uid: record.uid.clone(),
    }
}

fn read_targets(targets: &TargetsStatus) -> TargetsReport {
    TargetsReport {
        desired: length(targets.desired),
        current: length(targets.current),
        failures: targets
            .failures
            .iter()
            .map(|failure| CopyFailure {
                target: failure.target.clone(),
                namespace: failure.namespace.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
            })
            .collect(),
        placed: targets
            .placed
            .iter()
            .map(|placed| Placed { secret_name: placed.secret_name.clone(), namespaces: placed.namespaces.clone() })
            .collect(),
    }
}

fn write_targets(targets: &TargetsReport) -> TargetsStatus {
    TargetsStatus {
        desired: number(targets.desired),
        current: number(targets.current),
        failures: targets
            .failures
            .iter()
            .map(|failure| TargetFailure {
                target: failure.target.clone(),
                namespace: failure.namespace.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
            })
            .collect(),
        placed: targets
            .placed
            .iter()
            .map(|placed| PlacedCopies {
                secret_name: placed.secret_name.clone(),
                namespaces: placed.namespaces.clone(),
            })
            .collect(),
    }
}

fn read_entry(entry: &HistoryEntry) -> Entry {
    Entry {
        time: time(&entry.time),
        reason: entry.reason.clone(),
        message: entry.message.clone(),
        manager: entry.manager.clone(),
        warning: false,
    }
}

/// To the API.
#[must_use]
pub fn write(status: &Status) -> GatewayCertificateStatus {
    GatewayCertificateStatus {
        observed_generation: Some(status.observed_generation),
        mode: status.mode.clone(),
        domain: status.domain.clone(),
        conditions: status.conditions.iter().map(write_condition).collect(),
        certificate: status.certificate.as_ref().map(|certificate| CertificateStatus {
            fingerprint: certificate.fingerprint.clone(),
            serial: certificate.serial.clone(),
            issuer: certificate.issuer.clone(),
            dns_names: certificate.dns_names.clone(),
            not_before: text(certificate.not_before),
            not_after: text(certificate.not_after),
            renew_at: certificate.renew_at.map(text),
        }),
        issuance: status.issuance.as_ref().map(write_issuance),
        client_ca: status.client_ca.as_ref().map(|ca| ClientCaStatus {
            fingerprint: ca.fingerprint.clone(),
            certificates: i32::try_from(ca.certificates).unwrap_or(i32::MAX),
            not_after: ca.not_after.map(text),
        }),
        findings: status.findings.iter().map(write_finding).collect(),
        served: status.served.map(|(serving, ready)| format!("{serving}/{ready}")),
        gateways: status.gateways.iter().map(write_gateway).collect(),
        reload: status.reload.as_ref().map(write_reload),
        targets: status.targets.as_ref().map(write_targets),
        history: status.history.iter().map(write_entry).collect(),
        history_total: status.history_total,
    }
}

fn write_condition(condition: &Condition) -> v1::Condition {
    v1::Condition {
        type_: condition.kind.clone(),
        status: condition.status.as_str().to_owned(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        last_transition_time: Time(to_api(condition.since)),
        observed_generation: Some(condition.generation),
    }
}

fn write_finding(finding: &FindingSummary) -> FindingStatus {
    FindingStatus {
        check: finding.check.clone(),
        severity: finding.severity.clone(),
        message: finding.message.clone(),
        location: finding.location.clone(),
        remedy: finding.remedy.clone(),
    }
}

fn write_entry(entry: &Entry) -> HistoryEntry {
    HistoryEntry {
        time: text(entry.time),
        reason: entry.reason.clone(),
        message: entry.message.clone(),
        manager: entry.manager.clone(),
    }
}
