//! Whether a Gateway is written.

use chrono::{DateTime, Duration, Utc};

use super::{Desired, Difference, GatewayObject, GatewayWrite, Gateways, Holder, Placed, compare, desired, merged};
use crate::lifecycle::{
    client_ca::Kept,
    observed::{FailureKind, ObjectName, Observed, Policy, Settings, Undo},
    plan::{Action, Entry},
    reason::Reason,
    report::entry,
    serving::Server,
    stance::{Stance, told, undone_too_often},
};

/// Somebody else has the Gateway, or a field of it.
pub(super) const CONFLICT: &str = "gateway-conflict";
/// A right is missing.
pub(super) const DENIED: &str = "gateway-denied";
/// It is not written, for another reason.
const NOT_WRITTEN: &str = "gateway-not-written";
/// How a conflict over fields ends.
const LET_GO: &str = "have that manager set what is expected, or remove the field (it is put back at once, as nobody owns \
                      it then); spec.managementPolicy Manage takes it over by force";
/// How often within an hour what is gone is put back. Who removes something leaves no name.
const PUT_BACK_LIMIT: usize = 3;
/// How often it is written within an hour at most (law 4): what changes it on its way to the store leaves no name either.
/// More than a person changes a spec, and less than a history holds.
const WRITE_LIMIT: usize = 10;

/// What was decided about the Gateway, and everything there is to say of it.
#[derive(Debug, Default)]
pub(in crate::lifecycle) struct Decision {
    /// The write to make.
    pub(in crate::lifecycle) write: Option<GatewayWrite>,
    pub(super) saying: Vec<Saying>,
    /// The Gateways were not read yet: what was said before still holds.
    pub(super) held: bool,
}

/// Something to say, for `status.findings`.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) gateway: ObjectName,
    pub(super) difference: Difference,
    /// What the spec asks for is not so, and a person has to act.
    pub(super) grave: bool,
}

/// Why the Gateway is not written though it should be.
struct Hindrance {
    check: &'static str,
    field: String,
    found: String,
    remedy: String,
    /// It does not pass by itself.
    grave: bool,
}

impl Hindrance {
    fn new(check: &'static str, found: String, remedy: &str) -> Self {
        Self { check, field: String::new(), found, remedy: remedy.to_owned(), grave: true }
    }

    /// Somebody else has it.
    fn conflict(found: String, remedy: &str) -> Self {
        Self::new(CONFLICT, found, remedy)
    }

    /// One that passes, or that a person asked for.
    fn mild(found: String, remedy: &str) -> Self {
        Self { grave: false, ..Self::new(NOT_WRITTEN, found, remedy) }
    }

    /// What the API server said of the last try.
    fn failed(kind: FailureKind, words: &str) -> Self {
        match kind {
            FailureKind::Conflict => Self::conflict(words.to_owned(), LET_GO),
            FailureKind::Denied => Self::new(DENIED, words.to_owned(), "grant it; it is tried again within a minute"),
            FailureKind::Rejected | FailureKind::Terminating | FailureKind::Transient => {
                Self::new(NOT_WRITTEN, words.to_owned(), "see the message; it is tried again")
            }
        }
    }
}

/// Decides about the Gateway. `actions`: what else is written; while something is, the Gateway waits for its turn.
pub(in crate::lifecycle) fn decide(
    observed: &Observed,
    now: DateTime<Utc>,
    settings: &Settings,
    stance: &Stance,
    actions: &[Action],
) -> Decision {
    let wants = &observed.object.wants;
    let facts = observed.gateway.stored().map(|stored| stored.facts.clone());
    let names = facts.as_ref().and_then(|facts| facts.leaf()).map(|leaf| leaf.dns_names.clone()).unwrap_or_default();
    let desired = desired(wants, &names);
    let all = match &observed.gateways {
        Gateways::NotLookedAt => return Decision::default(),
        Gateways::Pending => return Decision { held: true, ..Decision::default() },
        Gateways::Denied(rule) => return unseen(observed, DENIED, "it may not be looked at", rule),
        Gateways::NotInstalled => {
            let found = "the API server knows no gateways.networking.istio.io";
            return unseen(observed, "gateway-istio-missing", found, "install Istio: it is noticed within 5 minutes");
        }
        Gateways::Known(all) | Gateways::Refused(all, ..) => all,
    };
    if !wants.gateway_object.manage {
        return Decision { saying: verify(observed, &desired, all), ..Decision::default() };
    }
    let keeper = Keeper { observed, now, settings, stance, desired: &desired, all };
    let object = all.iter().find(|object| object.gateway.name == wants.gateway);
    match keeper.step(object) {
        Ok(write) => {
            let saying = keeper.left(object, write.is_some());
            let write = write.filter(|_| observed.failure.is_none() && actions.is_empty());
            Decision { write, saying, held: false }
        }
        Err(hindrance) => Decision { saying: keeper.hindered(object, hindrance), ..Decision::default() },
    }
}

fn saying(gateway: &ObjectName, difference: Difference, grave: bool) -> Saying {
    Saying { gateway: gateway.clone(), difference, grave }
}

/// The Gateways cannot be seen. Where pods are asked, `Served` says so already.
fn unseen(observed: &Observed, check: &'static str, found: &str, remedy: &str) -> Decision {
    let wants = &observed.object.wants;
    let manage = wants.gateway_object.manage;
    if wants.probe.enabled && !manage {
        return Decision::default();
    }
    let difference = Difference {
        check,
        field: String::new(),
        found: found.to_owned(),
        expected: "a Gateway that hands out the Secret".to_owned(),
        remedy: remedy.to_owned(),
    };
    Decision { saying: vec![saying(&wants.gateway, difference, manage)], ..Decision::default() }
}

/// Every Gateway that hands out the Secret is looked at, and the one that the spec names.
fn verify(observed: &Observed, desired: &Desired, all: &[GatewayObject]) -> Vec<Saying> {
    let wants = &observed.object.wants;
    let secret = &wants.gateway_secret;
    let is_meant = |object: &GatewayObject| object.gateway.name == wants.gateway;
    let concerned = |object: &&GatewayObject| {
        let hands_out = object.gateway.servers.iter().any(|server| object.hands_out(server, secret));
        hands_out || (is_meant(object) && wants.gateway_named)
    };
    let mut concerned: Vec<&GatewayObject> = all.iter().filter(concerned).collect();
    let meant = all.iter().find(|object| is_meant(object));
    // Where none hands it out, the one that is meant by default is as good as named.
    concerned.extend(meant.filter(|_| concerned.is_empty()));
    let mut told = Vec::new();
    if meant.is_none() && (wants.gateway_named || concerned.is_empty()) {
        told.push(saying(&wants.gateway, missing(desired), false));
    }
    for object in concerned {
        // The spec picks a server of the Gateway that it means, and of no other; so it does with labels.
        let own = is_meant(object);
        let server = desired.server.clone().filter(|_| own);
        let desired = Desired { server, selector_named: desired.selector_named && own, ..desired.clone() };
        let differences = compare(&desired, secret, object, all).into_iter();
        told.extend(differences.map(|difference| saying(&object.gateway.name, difference, false)));
    }
    told
}

fn missing(desired: &Desired) -> Difference {
    Difference {
        check: "gateway-missing",
        field: String::new(),
        found: "there is no such Gateway".to_owned(),
        expected: format!("a Gateway with a server whose credentialName is {}", desired.credential),
        remedy: "create it, name another in spec.gateway, or set spec.gateway.management to Manage".to_owned(),
    }
}

struct Keeper<'a> {
    observed: &'a Observed,
    now: DateTime<Utc>,
    settings: &'a Settings,
    stance: &'a Stance,
    desired: &'a Desired,
    all: &'a [GatewayObject],
}

impl Keeper<'_> {
    /// The write that is due, if one is.
    fn step(&self, object: Option<&GatewayObject>) -> Result<Option<GatewayWrite>, Hindrance> {
        self.of_another(object)?;
        let secret = &self.observed.object.wants.gateway_secret;
        let servers = merged(self.desired, secret, object);
        let there = object.map(|object| &object.gateway.selector);
        let changed = there != Some(&self.desired.selector) || servers.iter().any(|server| server.changed);
        if let Some(object) = object
            && !changed
            && (object.facts.owner.as_deref() == Some(self.name().as_str()) || !self.adopts(object))
        {
            return Ok(None);
        }
        self.may_write(object, &servers)?;
        let by = object.map(|object| self.drift(object, &servers)).transpose()?.flatten();
        let gone = self.gone(object)?;
        let surplus = |label: &&String| !self.desired.selector.contains_key(*label);
        let mut undone = object.map(|object| self.undone(object)).unwrap_or_default();
        undone.extend(by.iter().map(|by| Undo { manager: by.manager.clone(), at: self.now }));
        undone.drain(..undone.len().saturating_sub(3));
        Ok(Some(GatewayWrite {
            target: self.observed.object.wants.gateway.clone(),
            base: object.map(|object| object.facts.version.clone()),
            force: self.takes_over(),
            selector: self.desired.selector.clone(),
            dropped: there.into_iter().flat_map(|there| there.keys()).filter(surplus).cloned().collect(),
            servers,
            undone,
            entry: self.entry(object, changed, by.as_ref(), gone),
        }))
    }

    /// One GatewayCertificate at a time manages it: the first that wrote it.
    fn of_another(&self, object: Option<&GatewayObject>) -> Result<(), Hindrance> {
        let owner = object.and_then(|object| object.facts.owner.as_ref());
        match owner.filter(|owner| self.observed.keepers.contains(*owner)) {
            Some(owner) if *self.stance == Stance::Manage => {
                let found = format!("it belongs to GatewayCertificate {owner}, which manages it");
                Err(Hindrance::conflict(found, "let one of the two manage it, and the other observe"))
            }
            _ => Ok(()),
        }
    }

    /// What of it is gone, though it was written once and nobody else has it now; in words that follow its name.
    fn gone(&self, object: Option<&GatewayObject>) -> Result<Option<&'static str>, Hindrance> {
        let entries: Vec<&Entry> = self.entries().collect();
        let what = match object {
            None if !entries.is_empty() => Some("was deleted and is created again"),
            Some(object) if !self.is_ours(object) => None,
            Some(object) if object.gateway.servers.is_empty() => Some("lost its servers and gets them back"),
            Some(object) if object.gateway.selector.is_empty() => Some("lost its selector and gets it back"),
            _ => None,
        };
        let hour = Duration::hours(1);
        let lately = entries.iter().filter(|entry| entry.manager.is_none() && self.now - entry.time < hour);
        let restored = lately.clone().filter(|entry| entry.reason == Reason::GatewayRestored.as_str()).count();
        if what.is_some() && restored >= PUT_BACK_LIMIT {
            let found = format!("somebody removed it, or its servers or labels, {PUT_BACK_LIMIT} times within an hour");
            let remedy = "find out who does (on Kyma: enableKymaGateway of the APIGateway); it is put back later";
            return Err(Hindrance::conflict(found, remedy));
        }
        if lately.count() >= WRITE_LIMIT {
            let found = format!("it was written {WRITE_LIMIT} times within an hour and is not as it should be again");
            let remedy = "find out what changes it, an admission webhook perhaps; it is written again later";
            return Err(Hindrance::conflict(found, remedy));
        }
        Ok(what)
    }

    /// What our history knows of writes of this Gateway.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let begins = format!("Gateway {} ", self.observed.object.wants.gateway);
        let writes = [Reason::GatewayWritten.as_str(), Reason::GatewayRestored.as_str()];
        let history = self.observed.object.previous.history.iter();
        history.filter(move |entry| writes.contains(&entry.reason.as_str()) && entry.message.starts_with(&begins))
    }

    fn name(&self) -> String {
        self.observed.object.name.to_string()
    }

    fn takes_over(&self) -> bool {
        self.observed.object.wants.policy == Policy::Manage
    }

    /// It carries our annotation, or that of a GatewayCertificate that is gone or manages it no longer.
    fn is_ours(&self, object: &GatewayObject) -> bool {
        let left = |owner: &String| !self.observed.keepers.contains(owner) && !self.is_elsewhere(owner);
        object.facts.owner.as_ref().is_some_and(|owner| *owner == self.name() || left(owner))
    }

    /// Another installation serves it.
    fn is_elsewhere(&self, owner: &str) -> bool {
        !self.settings.namespaces.iter().any(|served| owner.starts_with(&format!("{served}/")))
    }

    /// A Gateway that says already what it should becomes ours: only if nobody else holds it, or a person says so.
    fn adopts(&self, object: &GatewayObject) -> bool {
        let facts = &object.facts;
        let unowned = facts.owner.is_none() && facts.holders.is_empty() && facts.foreign.is_none();
        self.takes_over() || self.is_ours(object) || unowned
    }

    fn may_write(&self, object: Option<&GatewayObject>, servers: &[Placed]) -> Result<(), Hindrance> {
        if let Gateways::Refused(_, kind, words) = &self.observed.gateways {
            return Err(Hindrance::failed(*kind, words));
        }
        if let Stance::Observe(_, why) = self.stance {
            return Err(Hindrance::mild(why.clone(), "see the message"));
        }
        self.ready_for_it()?;
        let Some(object) = object else { return Ok(()) };
        let facts = &object.facts;
        if facts.deleting {
            let found = "it is being deleted and held by a finalizer".to_owned();
            return Err(Hindrance::new(NOT_WRITTEN, found, "remove its finalizers; it is created again at once"));
        }
        if let Some(owner) = facts.owner.as_ref().filter(|_| !self.is_ours(object) && !self.takes_over()) {
            let found = format!("it belongs to GatewayCertificate {owner}, which another certkeeper serves");
            let remedy = "let one of the two manage it, or set spec.managementPolicy to Manage to take over";
            return Err(Hindrance::conflict(found, remedy));
        }
        if let Some(who) = facts.foreign.as_ref().filter(|_| !self.takes_over()) {
            let remedy = "remove that owner, or set spec.managementPolicy to Manage to take over";
            return Err(Hindrance::conflict(format!("it is written by {who}"), remedy));
        }
        self.selector_is_meant(object)?;
        self.clients_stay_asked(object, servers)
    }

    /// A Gateway that is not ours yet and asks its clients for certificates goes on to do so, unless the spec says
    /// otherwise: a default must not open what was closed.
    fn clients_stay_asked(&self, object: &GatewayObject, servers: &[Placed]) -> Result<(), Hindrance> {
        let asks = |server: &Server| server.tls.as_ref().is_some_and(|tls| tls.mode.ends_with("MUTUAL"));
        let before = |placed: &Placed| placed.from.and_then(|from| object.gateway.servers.get(from)).is_some_and(asks);
        let opened = servers.iter().any(|placed| before(placed) && !asks(&placed.server));
        if !opened || self.observed.object.wants.gateway_object.mode.is_some() || self.is_ours(object) {
            return Ok(());
        }
        let found = "it asks clients for certificates, and the spec says nothing of that".to_owned();
        let remedy = "name their CA in spec.clientCA, or set spec.gateway.policy.mode to SIMPLE to ask no more";
        Err(Hindrance { field: "spec.servers[].tls.mode".to_owned(), ..Hindrance::new(NOT_WRITTEN, found, remedy) })
    }

    /// Kyma's own labels are a guess: put over somebody else's choice they would take the traffic away.
    fn selector_is_meant(&self, object: &GatewayObject) -> Result<(), Hindrance> {
        let there = &object.gateway.selector;
        if self.is_ours(object) || self.desired.selector_named || there.is_empty() || *there == self.desired.selector {
            return Ok(());
        }
        let pairs: Vec<String> = there.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let found = format!("it has the selector {}, which is not that of Kyma's gateway", pairs.join(","));
        let remedy = "name the labels of the gateway's pods in spec.gateway.selector";
        Err(Hindrance { field: "spec.selector".to_owned(), ..Hindrance::new(NOT_WRITTEN, found, remedy) })
    }

    /// A listener whose secret is bad takes no settings, and keeps none for later; one whose CA is missing resets all.
    fn ready_for_it(&self) -> Result<(), Hindrance> {
        let remedy = "nothing; it is written once that is there";
        let secret = &self.observed.object.wants.gateway_secret;
        if self.observed.gateway.stored().and_then(|stored| stored.fingerprint()).is_none() {
            let found = format!("Secret {secret} holds no pair yet, and a Gateway over it would not be taken up");
            return Err(Hindrance::mild(found, remedy));
        }
        let usable = match &self.observed.client_ca.stored {
            Kept::Present(kept) => kept.facts.usable(self.now),
            _ => 0,
        };
        if self.desired.mode == "MUTUAL" && usable == 0 {
            let name = secret.client_ca();
            let found = format!("Secret {name} holds no usable client CA yet, and MUTUAL without one resets everybody");
            return Err(Hindrance::mild(found, remedy));
        }
        Ok(())
    }

    /// Who changed what was ours, where that is undone; else nothing is taken from anybody (law 9).
    fn drift(&self, object: &GatewayObject, servers: &[Placed]) -> Result<Option<Holder>, Hindrance> {
        let servers_differ = servers.iter().any(|server| server.changed);
        let matters = |holder: &&Holder| match holder.field.strip_prefix(".spec.selector.") {
            Some(label) => object.gateway.selector.get(label) != self.desired.selector.get(label),
            None => servers_differ,
        };
        let mut holders: Vec<&Holder> = object.facts.holders.iter().filter(matters).collect();
        holders.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.cmp(b)));
        let Some(latest) = holders.first() else { return Ok(None) };
        let (found, remedy) = if !self.takes_over() {
            let mut words: Vec<String> =
                holders.iter().map(|one| format!("field manager \"{}\" owns {}", one.manager, one.field)).collect();
            words.dedup();
            (format!("{}, and has other values", words.join(", ")), LET_GO)
        } else if undone_too_often(&self.undone(object), &latest.manager) {
            let found =
                format!("field manager \"{}\" undid certkeeper's write three times within an hour", latest.manager);
            (found, "stop it, or have it set what is expected")
        } else {
            return Ok(self.is_ours(object).then(|| (*latest).clone()));
        };
        let field = latest.field.trim_start_matches('.').to_owned();
        Err(Hindrance { field, ..Hindrance::conflict(found, remedy) })
    }

    /// Who undid us: the marker on the Gateway, or our own history if that remembers more.
    fn undone(&self, object: &GatewayObject) -> Vec<Undo> {
        let told = told(self.observed, Reason::GatewayRestored);
        if told.len() > object.facts.undone.len() { told } else { object.facts.undone.clone() }
    }

    fn entry(&self, object: Option<&GatewayObject>, changed: bool, by: Option<&Holder>, gone: Option<&str>) -> Entry {
        let gateway = &self.observed.object.wants.gateway;
        if let Some(Holder { manager, field, .. }) = by {
            let message = format!(
                "Gateway {gateway} was changed by field manager \"{manager}\" in {field} and is restored \
                 (managementPolicy: Manage): change spec.gateway instead"
            );
            return entry(self.now, Reason::GatewayRestored, message, Some(manager.clone()), true);
        }
        if let Some(what) = gone {
            return entry(self.now, Reason::GatewayRestored, format!("Gateway {gateway} {what}"), None, true);
        }
        let what = match object {
            None => "did not exist and is created",
            Some(_) if changed => "says now what spec.gateway asks for",
            Some(_) => "is kept by this object now; it was right already",
        };
        entry(self.now, Reason::GatewayWritten, format!("Gateway {gateway} {what}"), None, false)
    }

    /// What no write of ours puts right: while one is due, only what it surely leaves; afterwards all that is left, such as
    /// another server with the same Secret.
    fn left(&self, object: Option<&GatewayObject>, due: bool) -> Vec<Saying> {
        let wants = &self.observed.object.wants;
        let differences = object.map(|object| compare(self.desired, &wants.gateway_secret, object, self.all));
        let differences = differences.into_iter().flatten();
        let left = differences.filter(|difference| match difference.check {
            "gateway-rival" => true,
            // Its labels are those that were asked for, and nobody has them.
            "gateway-selector" => object.is_some_and(|object| object.gateway.selector == self.desired.selector),
            _ => !due,
        });
        left.map(|difference| saying(&wants.gateway, difference, false)).collect()
    }

    /// What keeps it from being written, and how it differs meanwhile.
    fn hindered(&self, object: Option<&GatewayObject>, hindrance: Hindrance) -> Vec<Saying> {
        let wants = &self.observed.object.wants;
        let first = Difference {
            check: hindrance.check,
            field: hindrance.field,
            found: hindrance.found,
            expected: "a Gateway as spec.gateway asks for (management: Manage)".to_owned(),
            remedy: hindrance.remedy,
        };
        let mut told = vec![saying(&wants.gateway, first, hindrance.grave)];
        let differences = match object {
            Some(object) => compare(self.desired, &wants.gateway_secret, object, self.all),
            None => vec![missing(self.desired)],
        };
        told.extend(differences.into_iter().map(|difference| saying(&wants.gateway, difference, false)));
        told
    }
}
