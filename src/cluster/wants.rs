//! What a spec asks for, in the words of the decision.

use std::time::Duration as Span;

use chrono::{DateTime, SubsecRound};
use kube::ResourceExt;

use super::{gateway_object::gateway_wants, gather::name_of};
use crate::{
    api::{
        self, GatewayCertificate, GatewayCertificateSpec, KeyContent, Layout, ManagementPolicy,
        gardener::{go_duration, parse_go_duration},
    },
    certificate::Roots,
    lifecycle::{
        ObjectName, Policy, Probe, Proxy, Wants,
        gardener::GardenerWants,
        reload::Rung,
        targets::{Content, Places, Requirement, SecretKind, Selector, Target, Workload},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Kyma's names, see FACTS "Kyma": the Secret that `kyma-gateway` names, in the namespace of the gateway's pods.
const DEFAULT_GATEWAY_SECRET: (&str, &str) = ("istio-system", "kyma-gateway-certs");
/// The Gateway of Kyma's, see FACTS "Kyma".
const DEFAULT_GATEWAY: (&str, &str) = ("kyma-system", "kyma-gateway");
/// How long Istio's own push is waited for; it takes a tenth of a second where all is well (FACTS, "Measured here").
const DEFAULT_DEADLINE: chrono::Duration = chrono::Duration::seconds(30);
/// More would let no rung be climbed, and far more would be beyond every calendar.
const LONGEST_DEADLINE: chrono::Duration = chrono::Duration::days(1);
/// Less would be a nudge for each rotation: istiod gathers changes for up to 10 s.
const LEAST_DEADLINE: chrono::Duration = chrono::Duration::seconds(5);

/// What Gardener takes (FACTS, "Gardener's Certificate").
const LEAST_RENEW_BEFORE: Span = Span::from_secs(300);

/// The gateway Secret that a spec means.
#[must_use]
pub fn gateway_secret(spec: &GatewayCertificateSpec) -> ObjectName {
    let named = spec.gateway.as_ref().and_then(|gateway| gateway.secret_ref.as_ref());
    let (namespace, name) = DEFAULT_GATEWAY_SECRET;
    ObjectName::new(
        named.and_then(|secret| secret.namespace.as_deref()).unwrap_or(namespace),
        named.and_then(|secret| secret.name.as_deref()).unwrap_or(name),
    )
}

/// The Gateway that a spec means.
pub(crate) fn gateway_name(spec: &GatewayCertificateSpec) -> ObjectName {
    let named = spec.gateway.as_ref();
    let (namespace, name) = DEFAULT_GATEWAY;
    ObjectName::new(
        named.and_then(|gateway| gateway.namespace.as_deref()).unwrap_or(namespace),
        named.and_then(|gateway| gateway.name.as_deref()).unwrap_or(name),
    )
}

fn probe(spec: &GatewayCertificateSpec) -> Probe {
    let probe = spec.gateway.as_ref().and_then(|gateway| gateway.probe.clone()).unwrap_or_default();
    Probe {
        enabled: probe.enabled.unwrap_or(true),
        port: probe.port.and_then(|port| u16::try_from(port).ok()),
        hosts: probe.hosts,
        proxy: match probe.proxy_protocol.unwrap_or_default() {
            api::ProxyProtocol::Auto => Proxy::Auto,
            api::ProxyProtocol::None => Proxy::None,
            api::ProxyProtocol::V1 => Proxy::V1,
            api::ProxyProtocol::V2 => Proxy::V2,
        },
    }
}

fn up_to(spec: &GatewayCertificateSpec) -> Rung {
    let reload = spec.gateway.as_ref().and_then(|gateway| gateway.reload.clone()).unwrap_or_default();
    match reload.up_to.unwrap_or_default() {
        api::ReloadRung::Observe => Rung::Observe,
        api::ReloadRung::Nudge => Rung::Nudge,
        api::ReloadRung::Restart => Rung::Restart,
    }
}

/// How long each rung of the ladder has. What admission let pass and cannot be read is the default.
fn deadline(spec: &GatewayCertificateSpec) -> chrono::Duration {
    deadline_text(spec).and_then(duration).unwrap_or(DEFAULT_DEADLINE).clamp(LEAST_DEADLINE, LONGEST_DEADLINE)
}

fn deadline_text(spec: &GatewayCertificateSpec) -> Option<&str> {
    spec.gateway.as_ref()?.reload.as_ref()?.deadline.as_deref()
}

fn duration(text: &str) -> Option<chrono::Duration> {
    let span = text.parse::<jiff::SignedDuration>().ok().filter(|span| !span.is_negative())?;
    chrono::Duration::try_seconds(span.as_secs())
}

/// The CRD's patterns let nothing pass that is no duration but numbers that are too large; an older CRD has no pattern.
fn invalid_span(spec: &GatewayCertificateSpec) -> Option<String> {
    let wrong =
        |field: &str, text: &str| format!("spec.{field} \"{text}\" is no duration: give it as 30s, 5m or 1m30s");
    if let Some(text) = deadline_text(spec).filter(|text| duration(text).is_none()) {
        return Some(wrong("gateway.reload.deadline", text));
    }
    let request = spec.gardener.as_ref()?;
    let fields = [("gardener.renewBefore", &request.renew_before), ("gardener.duration", &request.duration)];
    let bad = |text: &&str| parse_go_duration(text).is_none();
    if let Some((field, text)) = fields.iter().find_map(|(field, text)| Some((field, text.as_deref().filter(bad)?))) {
        return Some(wrong(field, text));
    }
    let short = request.renew_before.as_deref().filter(|text| parse_go_duration(text) < Some(LEAST_RENEW_BEFORE))?;
    Some(format!("spec.gardener.renewBefore \"{short}\" is too short: Gardener takes five minutes at the least"))
}

/// What a spec asks for. In Gardener mode a domain that the spec leaves out is the cluster's to tell.
#[must_use]
pub fn wants(object: &GatewayCertificate) -> Wants {
    let (name, spec) = (&name_of(object), &object.spec);
    let namespace = name.namespace.as_str();
    let byo = spec.byo.as_ref();
    let supplied = byo.and_then(|byo| byo.secret_ref.as_ref()).map(|secret| ObjectName::new(namespace, &secret.name));
    let gardener = supplied.is_none().then(|| gardener_wants(object, name));
    let staging = gardener.as_ref().filter(|gardener| !gardener.watched).map(|gardener| gardener.staging.clone());
    let roots = byo.and_then(|byo| byo.trust.as_ref()).map(|trust| Roots::from_pem(trust.roots.as_bytes()));
    let checks = spec.checks.clone().unwrap_or_default();
    Wants {
        policy: match spec.management_policy {
            ManagementPolicy::IfUnowned => Policy::IfUnowned,
            ManagementPolicy::Manage => Policy::Manage,
            ManagementPolicy::Observe => Policy::Observe,
        },
        suspend: spec.suspend,
        domain: spec.domain.clone(),
        domain_given: spec.domain.is_some(),
        roots,
        warn: checks.warn,
        ignore: checks.ignore,
        client_ca: spec.client_ca.as_ref().map(|ca| ObjectName::new(namespace, &ca.secret_ref.name)),
        gateway_secret: gateway_secret(spec),
        gateway: gateway_name(spec),
        gateway_named: spec.gateway.as_ref().is_some_and(|gateway| gateway.name.is_some()),
        gateway_object: gateway_wants(spec),
        server: spec.gateway.as_ref().and_then(|gateway| gateway.server.clone()),
        probe: probe(spec),
        up_to: up_to(spec),
        deadline: deadline(spec),
        targets: spec.targets.iter().map(target).collect(),
        delete_targets: spec.deletion_policy == api::DeletionPolicy::DeleteTargets,
        invalid: spec.targets.iter().find_map(invalid_selector).or_else(|| invalid_span(spec)),
        source: supplied.or(staging),
        gardener,
    }
}

/// What the spec asks of Gardener.
fn gardener_wants(object: &GatewayCertificate, name: &ObjectName) -> GardenerWants {
    let request = object.spec.gardener.clone().unwrap_or_default();
    let key = request.private_key.unwrap_or_default();
    let canonical = |text: &Option<String>| text.as_deref().and_then(parse_go_duration).map(go_duration);
    let watched = request.certificate_ref.map(|certificate| ObjectName::new(&name.namespace, certificate.name));
    let renew = object.annotations().get(api::RENEW).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    GardenerWants {
        watched: watched.is_some(),
        certificate: watched.unwrap_or_else(|| name.clone()),
        staging: name.staging(),
        apex: request.include_apex.unwrap_or(true),
        issuer: request.issuer_ref.map(|issuer| (issuer.name, issuer.namespace)),
        renew_before: canonical(&request.renew_before),
        duration: canonical(&request.duration),
        // RSA is what Kyma's cipher suites need (FACTS, "Kyma"); the landscape's default may be another.
        algorithm: key.algorithm.unwrap_or(api::KeyAlgorithm::Rsa).as_str().to_owned(),
        size: key.size.map(i64::from),
        class: request.class,
        renew: renew.map(|at| at.to_utc().trunc_subsecs(0)),
    }
}

fn target(target: &api::Target) -> Target {
    let pairs = |pairs: &[(&str, Content)]| pairs.iter().map(|(key, content)| ((*key).to_owned(), *content)).collect();
    let mut kind = SecretKind::Opaque;
    let keys = match target.layout {
        Layout::Tls => {
            kind = SecretKind::Tls;
            pairs(&[("tls.crt", Content::Certificate), ("tls.key", Content::PrivateKey)])
        }
        Layout::Generic => pairs(&[("cert", Content::Certificate), ("key", Content::PrivateKey)]),
        Layout::CertificateOnly => pairs(&[("tls.crt", Content::Certificate)]),
        Layout::Ca => pairs(&[("cacert", Content::Authorities)]),
        Layout::Keys => {
            target.keys.iter().flatten().map(|(key, content)| (key.clone(), content_of(*content))).collect()
        }
    };
    let namespaces = match (&target.namespaces, &target.namespace_selector) {
        (Some(listed), _) => Places::Listed(listed.clone()),
        (None, selector) => Places::Selected(selector.as_ref().map(selector_of).unwrap_or_default()),
    };
    let workload = |w: &api::Workload| Workload { kind: w.kind.as_str().to_owned(), name: w.name.clone() };
    Target {
        name: target.name.clone(),
        secret_name: target.secret_name.clone(),
        namespaces,
        kind,
        keys,
        restart: target.restart.iter().map(workload).collect(),
    }
}

fn content_of(content: KeyContent) -> Content {
    match content {
        KeyContent::Certificate => Content::Certificate,
        KeyContent::PrivateKey => Content::PrivateKey,
        KeyContent::Authorities => Content::Authorities,
    }
}

fn selector_of(selector: &LabelSelector) -> Selector {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(label, value)| (label.clone(), Requirement::In(vec![value.clone()])));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let values = expression.values.clone().unwrap_or_default();
        let requirement = match expression.operator.as_str() {
            "NotIn" => Requirement::NotIn(values),
            "Exists" => Requirement::Exists,
            "DoesNotExist" => Requirement::DoesNotExist,
            // An operator that nobody knows selects nothing, as an empty list of values does.
            "In" => Requirement::In(values),
            _ => Requirement::In(Vec::new()),
        };
        (expression.key.clone(), requirement)
    });
    Selector { requirements: labels.chain(expressions).collect() }
}

/// A selector that Kubernetes would refuse: taken by its letter it would select nothing, or everything.
fn invalid_selector(target: &api::Target) -> Option<String> {
    let expressions = target.namespace_selector.as_ref()?.match_expressions.as_deref().unwrap_or_default();
    let wrong = expressions.iter().find(|expression| {
        let values = expression.values.as_ref().is_some_and(|values| !values.is_empty());
        match expression.operator.as_str() {
            "In" | "NotIn" => !values,
            "Exists" | "DoesNotExist" => values,
            _ => true,
        }
    })?;
    Some(format!(
        "namespaceSelector.matchExpressions of target {} has the operator \"{}\" with {} values for label {}: In and NotIn take \
         values, Exists and DoesNotExist take none, and there is no other",
        target.name,
        wrong.operator,
        wrong.values.as_ref().map_or(0, Vec::len),
        wrong.key
    ))
}
