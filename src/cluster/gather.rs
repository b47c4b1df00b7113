//! What is there, as an `Observed`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ManagedFieldsEntry},
};
use kube::ResourceExt;

use super::{
    client_ca,
    copies::{CopyStore, NamespaceWatch},
    gateway_object::gateway_wants,
    is_own_manager,
    mesh::{MeshStore, MeshView},
    secrets::{Secrets, Seen, Sight},
    status,
};
use crate::{
    api::{self, GatewayCertificate, GatewayCertificateSpec, KeyContent, Layout, ManagementPolicy, Mode},
    certificate::{Facts, Roots, Supplied, read},
    lifecycle::{
        Leftover, Object, ObjectName, Observed, Policy, Probe, Proxy, Rival, Settings, Slot, Source, Stored, Supply,
        Undo, Version, Wants, accepts,
        client_ca::ClientCa,
        gateway_object::Gateways,
        reload::{Nudge, Refusal, Rung},
        serving::Mesh,
        targets::{Content, Copies, Namespaces, Places, Requirement, SecretKind, Selector, Target, Workload, scopes},
    },
};

/// kubectl's annotation that repeats everything that was applied, the private key included.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The layouts in which people supply a pair, the first that is whole is used.
const SOURCE_LAYOUTS: [(&str, &str); 3] = [("tls.crt", "tls.key"), ("cert", "key"), ("tlsCrt", "tlsKey")];
/// Kyma's names, see FACTS "Kyma": the Secret that `kyma-gateway` names, in the namespace of the gateway's pods.
const DEFAULT_GATEWAY_SECRET: (&str, &str) = ("istio-system", "kyma-gateway-certs");
/// The Gateway of Kyma's, see FACTS "Kyma".
const DEFAULT_GATEWAY: (&str, &str) = ("kyma-system", "kyma-gateway");
/// How long Istio's own push is waited for; it takes a tenth of a second where all is well (FACTS, "Measured here").
const DEFAULT_DEADLINE: chrono::Duration = chrono::Duration::seconds(30);
/// Less would be a nudge for each rotation: istiod gathers changes for up to 10 s.
const LEAST_DEADLINE: chrono::Duration = chrono::Duration::seconds(5);

/// Namespace and name of an object.
#[must_use]
pub fn name_of(object: &impl kube::Resource) -> ObjectName {
    ObjectName::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// Everything that looks at the cluster.
#[derive(Debug, Clone)]
pub struct Eyes {
    /// The named Secrets.
    pub secrets: Secrets,
    /// The copies.
    pub copies: CopyStore,
    /// The namespaces.
    pub namespaces: NamespaceWatch,
    /// Gateways, Services and pods.
    pub mesh: MeshStore,
}

impl Eyes {
    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.secrets.sweep(alive);
        self.copies.sweep(alive);
        self.namespaces.sweep(alive);
        self.mesh.sweep(alive);
    }
}

/// The other GatewayCertificates that are served.
#[derive(Debug, Clone, Default)]
pub struct Others {
    /// Those that name the same gateway Secret.
    pub rivals: Vec<Rival>,
    /// All there are, this one too, as `namespace/name`.
    pub peers: BTreeSet<String>,
    /// Those of them, but this one, that manage the same Gateway.
    pub keepers: BTreeSet<String>,
}

/// Looks at everything that a GatewayCertificate names. Starts the watches it needs and ends those it needs no more.
#[must_use]
pub fn gather(object: &GatewayCertificate, others: Others, eyes: &Eyes, settings: &Settings) -> Observed {
    let name = name_of(object);
    let wants = wants(&name.namespace, &object.spec);
    let facts = facts_of(object, name.clone(), wants);
    let (namespaces, copies) = look_at_copies(&facts, eyes, settings);
    let wants = &facts.wants;
    let (gateway, accepted) = (wants.gateway_secret.clone(), accepts(&facts, settings));
    let mut needed = Vec::new();
    let mut look = |secret: &ObjectName| {
        needed.push(secret.clone());
        eyes.secrets.look(secret, &name)
    };
    let permitted = settings.permits(&gateway) && (accepted || facts.deleting);
    let (gateway, keepsake, client_ca) = if permitted {
        let (sight, keepsake) = (look(&gateway), slot(&look(&gateway.keepsake())));
        (slot(&sight), keepsake, client_ca::look(&facts, &sight, &mut look))
    } else {
        (Slot::NotRead, Slot::NotRead, ClientCa::default())
    };
    let source = match &wants.source {
        Some(secret) if permitted => source(&look(secret)),
        Some(_) => Source::Absent,
        None => Source::NotNamed,
    };
    eyes.secrets.keep_only(&name, &needed);
    let gateways = match facts.deleting || !accepted {
        true => Gateways::NotLookedAt,
        false => eyes.mesh.objects(wants, &name),
    };
    let Others { rivals, peers, keepers } = others;
    // What the pods serve is put in by whoever asks them.
    let mesh = Mesh::Pending;
    Observed {
        object: facts,
        source,
        gateway,
        keepsake,
        client_ca,
        rivals,
        peers,
        keepers,
        mesh,
        gateways,
        namespaces,
        copies,
        failure: None,
        not_evicted: None,
    }
}

/// Who serves the gateway's Secret. Nobody is looked at for an object that asks for what it may not have (law 9).
#[must_use]
pub fn look_at_mesh(object: &Object, eyes: &Eyes, settings: &Settings) -> MeshView {
    if object.deleting || !accepts(object, settings) {
        eyes.mesh.forget(&object.name);
        return MeshView::Off;
    }
    eyes.mesh.look(&object.wants, &object.name)
}

/// The namespaces and copies, as far as the spec or what was done for an earlier one needs them.
fn look_at_copies(object: &Object, eyes: &Eyes, settings: &Settings) -> (Namespaces, Copies) {
    let placed = object.previous.targets.as_ref().map_or(&[][..], |targets| &targets.placed);
    let needed = !object.wants.targets.is_empty() || !placed.is_empty();
    let scopes = match needed && accepts(object, settings) {
        true => scopes(&object.wants, placed, settings),
        false => BTreeSet::new(),
    };
    let copies = eyes.copies.look(&scopes, &object.name);
    if scopes.is_empty() {
        eyes.namespaces.forget(&object.name);
        return (Namespaces::NotNeeded, copies);
    }
    (eyes.namespaces.look(&object.name), copies)
}

/// The facts of a GatewayCertificate that names the same gateway Secret as another.
#[must_use]
pub fn rival(object: &GatewayCertificate) -> Rival {
    let spec = &object.spec;
    let active = !spec.suspend
        && spec.management_policy != ManagementPolicy::Observe
        && object.metadata.deletion_timestamp.is_none();
    Rival { name: name_of(object), created: created(object), active }
}

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
    deadline_text(spec).and_then(duration).unwrap_or(DEFAULT_DEADLINE).max(LEAST_DEADLINE)
}

fn deadline_text(spec: &GatewayCertificateSpec) -> Option<&str> {
    spec.gateway.as_ref()?.reload.as_ref()?.deadline.as_deref()
}

fn duration(text: &str) -> Option<chrono::Duration> {
    let span = text.parse::<jiff::SignedDuration>().ok().filter(|span| !span.is_negative())?;
    chrono::Duration::try_seconds(span.as_secs())
}

/// The CRD's pattern lets nothing pass that is no duration but numbers that are too large; an older CRD has no pattern.
fn invalid_deadline(spec: &GatewayCertificateSpec) -> Option<String> {
    let text = deadline_text(spec).filter(|text| duration(text).is_none())?;
    Some(format!("spec.gateway.reload.deadline \"{text}\" is no duration: give it as 30s, 5m or 1m30s"))
}

fn facts_of(object: &GatewayCertificate, name: ObjectName, wants: Wants) -> Object {
    let forget = object.annotations().get(api::FORGET).map(String::as_str).unwrap_or_default();
    let hexadecimal = |text: &str| -> String { text.chars().filter(char::is_ascii_hexdigit).collect() };
    Object {
        name,
        version: version_of(object),
        generation: object.metadata.generation.unwrap_or_default(),
        created: created(object),
        deleting: object.metadata.deletion_timestamp.is_some(),
        finalizer: object.finalizers().iter().any(|finalizer| finalizer == api::FINALIZER),
        wants,
        forget: forget.split(',').map(|text| hexadecimal(text).to_lowercase()).filter(|f| !f.is_empty()).collect(),
        previous: object.status.as_ref().map(status::read).unwrap_or_default(),
    }
}

fn created(object: &GatewayCertificate) -> DateTime<Utc> {
    object.creation_timestamp().map_or(DateTime::UNIX_EPOCH, |time| from_api(&time))
}

/// k8s-openapi's time as the domain's.
pub(super) fn from_api(time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.0.as_second(), 0).unwrap_or(DateTime::UNIX_EPOCH)
}

pub(super) fn version_of(object: &impl kube::Resource) -> Version {
    Version { uid: object.uid().unwrap_or_default(), resource_version: object.resource_version().unwrap_or_default() }
}

/// What a spec asks for. `namespace` is that of its GatewayCertificate.
#[must_use]
pub fn wants(namespace: &str, spec: &GatewayCertificateSpec) -> Wants {
    let byo = spec.byo.as_ref();
    let source = byo.and_then(|byo| byo.secret_ref.as_ref()).map(|secret| ObjectName::new(namespace, &secret.name));
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
        unsupported: unsupported(spec, source.is_some()),
        invalid: spec.targets.iter().find_map(invalid_selector).or_else(|| invalid_deadline(spec)),
        source,
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

/// Fields that are set and whose work is not done yet. Never ignored: the object is not accepted with them.
fn unsupported(spec: &GatewayCertificateSpec, byo: bool) -> Vec<String> {
    let fields = [
        ("spec.mode Gardener", spec.mode == Mode::Gardener),
        ("spec.mode Auto without spec.byo.secretRef (that is Gardener)", spec.mode == Mode::Auto && !byo),
        ("spec.gardener", spec.gardener.is_some()),
    ];
    fields.into_iter().filter(|(_, set)| *set).map(|(field, _)| field.to_owned()).collect()
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

pub(super) fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    secret.data.as_ref().and_then(|data| data.get(key)).map(|ByteString(bytes)| bytes.as_slice())
}

fn source(sight: &Sight) -> Source {
    let seen = match sight {
        Sight::Pending => return Source::Pending,
        Sight::Denied(rule) => return Source::Denied(rule.clone()),
        Sight::Absent => return Source::Absent,
        Sight::Present(seen) => seen,
    };
    let secret = seen.secret();
    let (keys, facts) = seen
        .source_facts
        .get_or_init(|| {
            let (keys, facts) = read_source(secret);
            (keys, Arc::new(facts))
        })
        .clone();
    let staple = value(secret, "tls.ocsp-staple").map(<[u8]>::to_vec);
    let version = secret.resource_version().unwrap_or_default();
    Source::Present(Supply { version, keys, facts, staple })
}

/// Reads what people supplied, in the first layout with both halves, else in the first with one.
pub(crate) fn read_source(secret: &Secret) -> (String, Facts) {
    let filled = |key| value(secret, key).is_some_and(|bytes| !bytes.is_empty());
    let whole = SOURCE_LAYOUTS.iter().find(|(certificate, key)| filled(certificate) && filled(key));
    let half = || SOURCE_LAYOUTS.iter().find(|(certificate, key)| filled(certificate) || filled(key));
    let (certificate, key) = whole.or_else(half).unwrap_or(&SOURCE_LAYOUTS[0]);
    let supplied = Supplied {
        certificate: value(secret, certificate),
        key: value(secret, key),
        staple: value(secret, "tls.ocsp-staple"),
    };
    (format!("keys {certificate} and {key}"), read(&supplied))
}

fn slot(sight: &Sight) -> Slot {
    match sight {
        Sight::Pending => Slot::Pending,
        Sight::Denied(rule) => Slot::Denied(rule.clone()),
        Sight::Absent => Slot::Absent,
        Sight::Present(seen) => Slot::Present(Box::new(stored(seen))),
    }
}

/// What Istio would read: `cert` and `key` before `tls.crt` and `tls.key`, where both are filled
/// (IS pilot/pkg/credentials/kube/secrets.go).
pub(crate) fn read_as_istio(secret: &Secret) -> (bool, Facts) {
    let filled = |key| value(secret, key).filter(|bytes| !bytes.is_empty());
    let staple = value(secret, "tls.ocsp-staple");
    match (filled("cert"), filled("key")) {
        (certificate @ Some(_), key @ Some(_)) => (false, read(&Supplied { certificate, key, staple: None })),
        _ => (true, read(&Supplied { certificate: value(secret, "tls.crt"), key: value(secret, "tls.key"), staple })),
    }
}

fn stored(seen: &Seen) -> Stored {
    let secret = seen.secret();
    let generic = |key: &str| value(secret, key).is_some();
    let canonical = !["cert", "key"].iter().all(|key| value(secret, key).is_some_and(|bytes| !bytes.is_empty()));
    let annotation = |key: &str| secret.annotations().get(key).cloned();
    let leftovers = [
        (Leftover::Generic, generic("cert") || generic("key")),
        (Leftover::Staple, generic("tls.ocsp-staple")),
        (Leftover::LastApplied, secret.annotations().contains_key(LAST_APPLIED)),
    ];
    Stored {
        version: version_of(secret),
        immutable: secret.immutable.unwrap_or(false),
        deleting: secret.metadata.deletion_timestamp.is_some(),
        facts: seen.slot_facts.get_or_init(|| Arc::new(read_as_istio(secret).1)).clone(),
        canonical,
        leftovers: leftovers.into_iter().filter(|(_, there)| *there).map(|(leftover, _)| leftover).collect(),
        staple: value(secret, "tls.ocsp-staple").map(<[u8]>::to_vec),
        owner: annotation(api::OWNER),
        foreign: foreign(secret),
        mark: annotation(api::FINGERPRINT),
        undone: annotation(api::UNDONE).map(|text| parse_undone(&text)).unwrap_or_default(),
        nudged: annotation(api::NUDGED).map(|text| Nudge::parse(&text)).unwrap_or_default(),
        refused: annotation(api::REFUSED).map(|text| Refusal::parse(&text)).unwrap_or_default(),
        last_writer: last_writer(secret.managed_fields()),
    }
}

/// Marks of another owner (law 9), in words.
pub(super) fn foreign(secret: &impl kube::Resource) -> Option<String> {
    let ours = api::GROUP;
    if let Some(owner) = secret.owner_references().iter().find(|owner| !owner.api_version.starts_with(ours)) {
        return Some(format!("{} {} (ownerReference)", owner.kind, owner.name));
    }
    let annotations: &BTreeMap<String, String> = secret.annotations();
    let labels = secret.labels();
    if let Some(name) = annotations.get("cert-manager.io/certificate-name") {
        return Some(format!("cert-manager's Certificate {name}"));
    }
    if labels.get("cert.gardener.cloud/certificate").is_some_and(|value| value == "true") {
        return Some("Gardener's certificate management (label cert.gardener.cloud/certificate)".to_owned());
    }
    None
}

/// The last field manager but us that wrote a value of the Secret.
pub(super) fn last_writer(managers: &[ManagedFieldsEntry]) -> Option<Undo> {
    managers
        .iter()
        .filter_map(|entry| {
            let manager = entry.manager.as_deref()?;
            let fields = &entry.fields_v1.as_ref()?.0;
            let writes_data = fields.get("f:data").is_some();
            let at = entry.time.as_ref().map(from_api)?;
            (writes_data && !is_own_manager(manager)).then(|| Undo { manager: manager.to_owned(), at })
        })
        .max_by(|a, b| (a.at, &a.manager).cmp(&(b.at, &b.manager)))
}

pub(super) fn parse_undone(text: &str) -> Vec<Undo> {
    let parse = |part: &str| {
        let (manager, at) = part.rsplit_once('@')?;
        let at = DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc);
        Some(Undo { manager: manager.to_owned(), at })
    };
    text.split(',').take(8).filter_map(parse).collect()
}
