//! The store: objects by resource and name, one counter of versions, and the history that watches read.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::registry::{Registry, Storage};

/// How many changes the history keeps before it forgets the older half.
const HISTORY: usize = 20_000;
/// The version that a fresh store starts at: low numbers are kept free for tests that ask for the past.
const FIRST: u64 = 100;

/// Namespace (empty for cluster-scoped objects) and name.
pub(crate) type Name = (String, String);

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) storage: Storage,
    pub(crate) name: Name,
    pub(crate) before: Option<Arc<Value>>,
    /// The object as stored; of a deleted one its last state, with the version of the deletion.
    pub(crate) object: Arc<Value>,
    pub(crate) deleted: bool,
}

/// Everything behind the server's lock.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) registry: Registry,
    objects: BTreeMap<Storage, BTreeMap<Name, Arc<Value>>>,
    history: VecDeque<Change>,
    version: u64,
    compacted: u64,
    /// Wakes watches; carries the version, and a count that goes up when all watches shall be cut.
    signal: watch::Sender<Signal>,
    rng: fastrand::Rng,
    epoch: (Timestamp, Instant),
    writes: usize,
}

/// What watches wait on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Signal {
    pub(crate) version: u64,
    pub(crate) cuts: u64,
}

impl Store {
    /// An empty store. `start` is the time of day now; it advances with tokio's clock.
    pub(crate) fn new(seed: u64, start: Timestamp) -> Self {
        Self {
            registry: Registry::new(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            version: FIRST,
            compacted: 0,
            signal: watch::Sender::new(Signal { version: FIRST, cuts: 0 }),
            rng: fastrand::Rng::with_seed(seed),
            epoch: (start, Instant::now()),
            writes: 0,
        }
    }

    /// Now, to the second, as metadata shows it.
    pub(crate) fn now(&self) -> String {
        let elapsed = i64::try_from(self.epoch.1.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = Timestamp::from_millisecond(self.epoch.0.as_millisecond().saturating_add(elapsed));
        now.unwrap_or(self.epoch.0).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// A fresh UUID (version 4) from the seeded generator.
    pub(crate) fn uid(&mut self) -> String {
        let bits = (self.rng.u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// The five characters that `generateName` is completed with.
    pub(crate) fn suffix(&mut self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(ALPHABET[self.rng.usize(..ALPHABET.len())])).collect()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Changes up to this version are forgotten.
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// How many changes were stored so far.
    pub(crate) fn writes(&self) -> usize {
        self.writes
    }

    /// Counts from `writes` again: what a server is born with is nobody's write.
    pub(crate) fn forget_writes(&mut self, writes: usize) {
        self.writes = writes;
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    pub(crate) fn get(&self, storage: &Storage, name: &Name) -> Option<Arc<Value>> {
        self.objects.get(storage)?.get(name).cloned()
    }

    /// All objects of a resource, in the order of namespace and name.
    pub(crate) fn all(&self, storage: &Storage) -> impl Iterator<Item = (&Name, &Arc<Value>)> {
        self.objects.get(storage).into_iter().flatten()
    }

    /// All objects as they were at `version`, which must not be compacted.
    pub(crate) fn all_at(&self, storage: &Storage, version: u64) -> BTreeMap<Name, Arc<Value>> {
        let mut objects = self.objects.get(storage).cloned().unwrap_or_default();
        let later = self.history.iter().rev().take_while(|change| change.version > version);
        for change in later.filter(|change| change.storage == *storage) {
            match &change.before {
                Some(before) => objects.insert(change.name.clone(), before.clone()),
                None => objects.remove(&change.name),
            };
        }
        objects
    }

    /// Changes of a resource after `version`, oldest first.
    pub(crate) fn changes(&self, storage: &Storage, version: u64) -> impl Iterator<Item = &Change> {
        let start = self.history.partition_point(|change| change.version <= version);
        self.history.range(start..).filter(move |change| change.storage == *storage)
    }

    /// Stores an object under the next version and returns it as stored.
    pub(crate) fn put(&mut self, storage: &Storage, name: Name, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let object = Arc::new(object);
        let before = self.objects.entry(storage.clone()).or_default().insert(name.clone(), object.clone());
        self.record(storage, name, before, object.clone(), false);
        object
    }

    /// Removes an object; returns it as it was last, with the version of its deletion.
    pub(crate) fn remove(&mut self, storage: &Storage, name: Name, mut last: Value) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(storage)?.remove(&name)?;
        self.version += 1;
        last["metadata"]["resourceVersion"] = self.version.to_string().into();
        let last = Arc::new(last);
        self.record(storage, name, Some(before), last.clone(), true);
        Some(last)
    }

    fn record(&mut self, storage: &Storage, name: Name, before: Option<Arc<Value>>, object: Arc<Value>, deleted: bool) {
        self.writes += 1;
        let (version, storage) = (self.version, storage.clone());
        self.history.push_back(Change { version, storage, name, before, object, deleted });
        if self.history.len() > HISTORY {
            let forgotten = self.history.drain(..HISTORY / 2).next_back();
            self.compacted = forgotten.map_or(self.compacted, |change| change.version);
        }
        self.signal.send_modify(|signal| signal.version = self.version);
    }

    /// Forgets the history, as a compaction of etcd does.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.compacted = self.version;
    }

    /// Ends all open watches.
    pub(crate) fn cut_watches(&self) {
        self.signal.send_modify(|signal| signal.cuts += 1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store() -> (Store, Storage) {
        let storage = Storage { group: String::new(), plural: "secrets".into() };
        (Store::new(7, Timestamp::UNIX_EPOCH), storage)
    }

    fn name(name: &str) -> Name {
        ("default".into(), name.into())
    }

    #[test]
    fn a_snapshot_shows_what_was_there_at_that_version() {
        let (mut store, kind) = store();
        store.put(&kind, name("a"), json!({"n": 1}));
        let then = store.version();
        store.put(&kind, name("a"), json!({"n": 2}));
        store.put(&kind, name("b"), json!({"n": 3}));
        let last = store.get(&kind, &name("a")).unwrap().as_ref().clone();
        store.remove(&kind, name("a"), last);
        let past = store.all_at(&kind, then);
        assert_eq!(past.len(), 1);
        assert_eq!(past[&name("a")]["n"], 1);
        assert_eq!(store.all(&kind).count(), 1);
        assert_eq!(store.changes(&kind, then).count(), 3);
    }

    #[test]
    fn a_compaction_forgets_history_and_keeps_objects() {
        let (mut store, kind) = store();
        store.put(&kind, name("a"), json!({}));
        store.compact();
        assert_eq!(store.compacted(), store.version());
        assert_eq!(store.changes(&kind, 0).count(), 0);
        assert!(store.get(&kind, &name("a")).is_some());
    }

    #[test]
    fn the_same_seed_gives_the_same_names_and_uids_of_version_4() {
        let (mut one, mut two) = (store().0, store().0);
        let uid = one.uid();
        assert_eq!((&uid, one.suffix()), (&two.uid(), two.suffix()));
        assert_eq!((&uid[14..15], uid.len()), ("4", 36));
        assert!("89ab".contains(&uid[19..20]));
    }
}
