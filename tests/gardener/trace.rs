//! What was seen, and how it is made comparable.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDateTime, Utc};
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};
use x509_parser::{extensions::GeneralName, pem::Pem};

/// A change of a Certificate or a Secret.
pub struct Change {
    pub object: DynamicObject,
    pub deleted: bool,
}

/// All changes of one script.
pub struct Trace {
    name: String,
    issuers: String,
    changes: Vec<Change>,
}

/// Values that differ between any two runs, by the order in which they were seen.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, Vec<String>>);

impl Seen {
    fn number(&mut self, what: &'static str, value: &str) -> String {
        let known = self.0.entry(what).or_default();
        let index = known.iter().position(|known| known == value).unwrap_or_else(|| {
            known.push(value.to_owned());
            known.len() - 1
        });
        format!("{what} {}", index + 1)
    }
}

/// What is read of a leaf.
struct Leaf {
    serial: String,
    names: Vec<String>,
    subject: String,
    certificates: usize,
}

impl Leaf {
    fn of(secret: &DynamicObject) -> Option<Self> {
        let text = entry(secret, "tls.crt")?;
        let pems: Vec<Pem> = Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok).collect();
        let leaf = pems.first()?.parse_x509().ok()?;
        let digits = format!("{:x}", leaf.tbs_certificate.serial);
        let pairs: Vec<_> = digits.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        let names = leaf.subject_alternative_name().ok()??;
        let name = |name: &GeneralName<'_>| {
            if let GeneralName::DNSName(name) = name { (*name).to_owned() } else { "?".to_owned() }
        };
        Some(Self {
            serial: pairs.join(":"),
            names: names.value.general_names.iter().map(name).collect(),
            subject: leaf.subject().to_string(),
            certificates: pems.len(),
        })
    }
}

fn entry(secret: &DynamicObject, key: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(secret.data["data"][key].as_str()?).ok()?).ok()
}

fn is_secret(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == "Secret") || object.data["data"].is_object()
}

/// An object's resourceVersion.
pub fn version(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

impl Trace {
    /// The names of the script and of the namespace of its issuers are replaced.
    pub fn new(name: &str, issuers: &str) -> Self {
        Self { name: name.to_owned(), issuers: issuers.to_owned(), changes: Vec::new() }
    }

    /// Two watches tell of one history: its versions put it in order.
    pub fn add(&mut self, change: Change) {
        let at = self.changes.partition_point(|earlier| version(&earlier.object) <= version(&change.object));
        self.changes.insert(at, change);
    }

    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The end of the certificate that is spoken of.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        let last = self.changes.iter().rfind(|change| !is_secret(&change.object))?;
        let end = last.object.data["status"]["expirationDate"].as_str()?;
        Some(DateTime::parse_from_rfc3339(end).ok()?.to_utc())
    }

    /// Whether the last change of the Certificate, at this version or later, left nothing to be done, with this outcome.
    pub fn shows(&self, written: u64, state: &str, message: &str, leaves: usize) -> bool {
        let last = self.changes.iter().rfind(|change| !is_secret(&change.object));
        let Some(Change { object, deleted: false }) = last else { return false };
        let annotations = object.metadata.annotations.as_ref();
        let (status, spec) = (&object.data["status"], &object.data["spec"]);
        let mut serials: Vec<String> =
            self.changes.iter().filter_map(|change| Leaf::of(&change.object)).map(|leaf| leaf.serial).collect();
        serials.sort();
        serials.dedup();
        version(object) >= written
            && status["state"] == state
            && status["message"].as_str().unwrap_or_default().starts_with(message)
            && status["observedGeneration"].as_i64() == object.metadata.generation
            && spec["renew"].is_null()
            && !annotations.is_some_and(|annotations| annotations.contains_key("gardener.cloud/operation"))
            && serials.len() == leaves
    }

    /// The changes in comparable form, one a line.
    ///
    /// Loosely: what a Certificate's status says while it is on its way (`Pending`, or nothing) is left out. The real
    /// one may lose that it is Pending: it looks again at what it has just written, and its copy may be older.
    pub fn lines(&self, loosely: bool) -> Vec<String> {
        let mut seen = Seen::default();
        let mut lines = Vec::new();
        for Change { object, deleted } in &self.changes {
            let what = match is_secret(object) {
                true => secret(object, &mut seen),
                false => certificate(object, loosely, &mut seen),
            };
            let line = format!("{}{what}", if *deleted { "deleted " } else { "" })
                .replace(&self.issuers, "ISSUERS")
                .replace(&self.name, "NS");
            if !(loosely && lines.last() == Some(&line)) {
                lines.push(line);
            }
        }
        lines
    }
}

fn certificate(object: &DynamicObject, loosely: bool, seen: &mut Seen) -> Value {
    let status = &object.data["status"];
    let on_its_way = loosely && matches!(status["state"].as_str(), None | Some("" | "Pending"));
    let mut owners = owners(object);
    if on_its_way && let Some(owners) = owners.as_object_mut() {
        owners.retain(|owner, _| !owner.ends_with(" status"));
    }
    json!({"Certificate": {
        "generation": object.metadata.generation,
        "marks": marks(object, seen),
        "spec": plain(&object.data["spec"], seen),
        "status": if on_its_way { json!("on its way") } else { plain(status, seen) },
        "owners": owners,
    }})
}

fn secret(object: &DynamicObject, seen: &mut Seen) -> Value {
    let data = object.data["data"].as_object().cloned().unwrap_or_default();
    let leaf = Leaf::of(object);
    let key = entry(object, "tls.key").unwrap_or_default();
    let (chain, ca) = (entry(object, "tls.crt").unwrap_or_default(), entry(object, "ca.crt").unwrap_or_default());
    json!({"Secret": {
        "type": object.data["type"],
        "keys": data.keys().collect::<Vec<_>>(),
        "marks": marks(object, seen),
        "leaf": leaf.as_ref().map(|leaf| json!({"serial": seen.number("serial", &leaf.serial), "names": leaf.names,
            "subject": leaf.subject, "certificates": leaf.certificates})),
        "key": {"is": seen.number("key", &key), "form": key.lines().next()},
        "the CA is last": !ca.is_empty() && chain.trim_end().ends_with(ca.trim_end()),
        "owners": owners(object),
    }})
}

/// Labels and annotations.
fn marks(object: &DynamicObject, seen: &mut Seen) -> Value {
    let marks = [("labels", &object.metadata.labels), ("annotations", &object.metadata.annotations)];
    let normal = marks.map(|(kind, marks)| {
        let marks = marks.clone().unwrap_or_default().into_iter();
        let marks: Map<String, Value> = marks.map(|(key, value)| (key, plain(&json!(value), seen))).collect();
        (kind.to_owned(), Value::Object(marks))
    });
    Value::Object(normal.into_iter().collect())
}

/// Which fields each manager owns.
fn owners(object: &DynamicObject) -> Value {
    let mut owners = BTreeMap::new();
    for entry in object.metadata.managed_fields.iter().flatten() {
        let manager = entry.manager.clone().unwrap_or_default();
        let operation = entry.operation.clone().unwrap_or_default();
        let part = entry.subresource.clone().unwrap_or_default();
        let mut paths = Vec::new();
        if let Some(fields) = &entry.fields_v1 {
            walk(&fields.0, "", &mut paths);
        }
        paths.sort();
        owners.insert(format!("{manager} {operation} {part}").trim_end().to_owned(), paths);
    }
    json!(owners)
}

fn walk(fields: &Value, path: &str, paths: &mut Vec<String>) {
    let inner = fields.as_object().filter(|fields| !fields.is_empty());
    let Some(inner) = inner else {
        paths.push(path.to_owned());
        return;
    };
    for (key, value) in inner {
        walk(value, &format!("{path}/{}", key.trim_start_matches("f:")), paths);
    }
}

/// A value without what differs between any two runs.
fn plain(value: &Value, seen: &mut Seen) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), plain(value, seen))).collect(),
        Value::Array(items) => items.iter().map(|item| plain(item, seen)).collect(),
        Value::String(text) => json!(words(text, seen)),
        other => other.clone(),
    }
}

fn words(text: &str, seen: &mut Seen) -> String {
    if DateTime::parse_from_rfc3339(text).is_ok() {
        return "TIME".to_owned();
    }
    if text.len() == 56 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return seen.number("digest", text);
    }
    if let Some((serial, dates)) = text.strip_prefix("certificate (SN ").and_then(|rest| rest.split_once(')')) {
        return format!("certificate (SN {}){}", seen.number("serial", serial), times(dates));
    }
    times(text)
}

/// Replaces the times that Go prints; their fractions of a second and their monotonic part with them.
fn times(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest: Vec<&str> = text.split(' ').collect();
    while !rest.is_empty() {
        let date = rest[0].trim_start_matches('(');
        let is_time = rest.len() >= 4 && {
            let seconds = rest[1].split('.').next().unwrap_or_default();
            NaiveDateTime::parse_from_str(&format!("{date} {seconds}"), "%Y-%m-%d %H:%M:%S").is_ok()
                && rest[2] == "+0000"
        };
        if !is_time {
            words.push(rest.remove(0).to_owned());
            continue;
        }
        let mut taken = rest[3];
        let mut count = 4;
        if rest.get(4).is_some_and(|word| word.starts_with("m=")) {
            taken = rest[4];
            count = 5;
        }
        let open = if rest[0].starts_with('(') { "(" } else { "" };
        let close = if taken.ends_with(')') { ")" } else { "" };
        words.push(format!("{open}TIME{close}"));
        rest.drain(..count);
    }
    words.join(" ")
}
