//! What is there, as an `Observed`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::ResourceExt;

use super::{
    client_ca,
    copies::{CopyStore, NamespaceWatch},
    gardener::GardenerStore,
    is_own_manager,
    mesh::{MeshStore, MeshView},
    secrets::{Secrets, Seen, Sight},
    status,
    wants::wants,
};
use crate::{
    api::{
        self, GatewayCertificate, ManagementPolicy,
        gardener::{REQUESTED_AT, REVOKED},
    },
    certificate::{Facts, Supplied, read},
    lifecycle::{
        Leftover, Object, ObjectName, Observed, Rival, Settings, Slot, Source, Stored, Supply, Undo, Version, Wants,
        accepts,
        client_ca::ClientCa,
        gardener::{Domain, Gardener},
        gateway_object::Gateways,
        reload::{Nudge, Refusal},
        serving::Mesh,
        targets::{Copies, Namespaces, scopes},
    },
};

/// kubectl's annotation that repeats everything that was applied, the private key included.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The layouts in which people supply a pair, the first that is whole is used.
const SOURCE_LAYOUTS: [(&str, &str); 3] = [("tls.crt", "tls.key"), ("cert", "key"), ("tlsCrt", "tlsKey")];
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
    /// Certificates and the cluster's domain.
    pub gardener: GardenerStore,
}

impl Eyes {
    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.secrets.sweep(alive);
        self.copies.sweep(alive);
        self.namespaces.sweep(alive);
        self.mesh.sweep(alive);
        self.gardener.sweep(alive);
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
    let mut facts = facts_of(object, name.clone(), wants(object));
    // An object that may not have what it asks for has no call made for it (law 9).
    let (mut domain, mindful) = (Domain::Known, !accepts(&facts, settings));
    if !mindful {
        domain = find_domain(&mut facts, eyes);
    }
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
    // What Gardener filled for an object that needs it no more.
    let needless = facts.previous.issuance.is_some() && (wants.gardener.is_none() || facts.deleting);
    let orphan = match needless.then(|| look(&name.staging())) {
        Some(Sight::Present(seen)) => Some(version_of(seen.secret())).filter(|_| is_gardeners(seen.secret())),
        _ => None,
    };
    eyes.secrets.keep_only(&name, &needed);
    let gateways = match facts.deleting || !accepted {
        true => Gateways::NotLookedAt,
        false => eyes.mesh.objects(wants, &name),
    };
    let gardener = match accepted || facts.deleting {
        true => Gardener { domain, ..eyes.gardener.look(&facts) },
        false => {
            if mindful {
                eyes.gardener.forget(&name);
            }
            Gardener { domain, ..Gardener::default() }
        }
    };
    facts.forget.extend(revoked(&facts, &source));
    let Others { rivals, peers, keepers } = others;
    // What the pods serve is put in by whoever asks them.
    let mesh = Mesh::Pending;
    Observed {
        object: facts,
        source,
        gateway,
        keepsake,
        gardener,
        orphan,
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

/// In Gardener mode a domain that the spec leaves out is the cluster's to tell.
fn find_domain(object: &mut Object, eyes: &Eyes) -> Domain {
    if object.wants.domain_given || object.wants.gardener.is_none() || object.deleting {
        return Domain::Known;
    }
    match eyes.gardener.domain(&object.name) {
        Ok(domain) => {
            object.wants.domain = Some(domain);
            Domain::Known
        }
        Err(missing) => missing,
    }
}

/// Leaves that Gardener says are revoked, now or earlier: they are never promoted or brought back (law 2).
fn revoked(object: &Object, source: &Source) -> Vec<String> {
    let now = match source {
        Source::Present(supply) if supply.revoked => supply.facts.leaf().map(|leaf| leaf.fingerprint.to_string()),
        _ => None,
    };
    let before = object.previous.issuance.iter().flat_map(|issuance| issuance.revoked.iter().cloned());
    before.chain(now).collect()
}

/// Gardener made it for a Certificate.
fn is_gardeners(secret: &Secret) -> bool {
    secret.labels().get("cert.gardener.cloud/certificate").is_some_and(|value| value == "true")
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
    let requested = super::gardener::time(secret.annotations().get(REQUESTED_AT));
    let revoked = secret.annotations().contains_key(REVOKED);
    Source::Present(Supply { version, keys, facts, staple, requested, revoked })
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
