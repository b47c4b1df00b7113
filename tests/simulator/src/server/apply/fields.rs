//! Sets of fields, and their `fieldsV1` form.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field of a map: `f:name`.
    Field(String),
    /// An item of a map list, by the values of its keys: `k:{"name":"x"}`. Values are JSON texts.
    Key(BTreeMap<String, String>),
    /// An item of a set, by its value as JSON text: `v:"x"`.
    Value(String),
    /// An item by its position: `i:0`.
    Index(usize),
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "v" => Some(Self::Value(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            "i" => rest.parse().ok().map(Self::Index),
            "k" => {
                let keys: BTreeMap<String, Value> = serde_json::from_str(rest).ok()?;
                Some(Self::Key(keys.into_iter().map(|(key, value)| (key, value.to_string())).collect()))
            }
            _ => None,
        }
    }

    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
            Self::Key(keys) => {
                let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
                format!("k:{{{}}}", pairs.join(","))
            }
        }
    }
}

/// As conflict messages show it: `.data.x`, `[name="y"]`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(keys) => {
                let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", pairs.join(","))
            }
        }
    }
}

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FieldSet(BTreeMap<Step, Node>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    /// Whether the path that ends here is in the set itself.
    member: bool,
    below: FieldSet,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, path: &[Step]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut set = self;
        for step in parents {
            set = &mut set.0.entry(step.clone()).or_default().below;
        }
        set.0.entry(last.clone()).or_default().member = true;
    }

    /// The set without one path, though with what is below it.
    pub(crate) fn without(&self, path: &[Step]) -> Self {
        let mut one = Self::default();
        one.insert(path);
        self.difference(&one)
    }

    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let set = parents.iter().try_fold(self, |set, step| set.0.get(step).map(|node| &node.below));
        set.and_then(|set| set.0.get(last)).is_some_and(|node| node.member)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut result = self.clone();
        for (step, theirs) in &other.0 {
            let node = result.0.entry(step.clone()).or_default();
            node.member |= theirs.member;
            node.below = node.below.union(&theirs.below);
        }
        result
    }

    /// Paths that are in both sets exactly.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && theirs, Self::intersection)
    }

    /// Paths of this set that are not, exactly, in the other.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && !theirs, Self::difference)
    }

    fn combine(&self, other: &Self, member: fn(bool, bool) -> bool, below: fn(&Self, &Self) -> Self) -> Self {
        let none = Node::default();
        let nodes = self.0.iter().map(|(step, mine)| {
            let theirs = other.0.get(step).unwrap_or(&none);
            let node = Node { member: member(mine.member, theirs.member), below: below(&mine.below, &theirs.below) };
            (step.clone(), node)
        });
        Self(nodes.filter(|(_, node)| node.member || !node.below.is_empty()).collect())
    }

    /// All paths, the members of a level before what is below them, as the real server lists conflicts.
    pub(crate) fn paths(&self) -> Vec<Vec<Step>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Step>, paths: &mut Vec<Vec<Step>>) {
        for (step, _) in self.0.iter().filter(|(_, node)| node.member) {
            paths.push(prefix.iter().chain([step]).cloned().collect());
        }
        for (step, node) in &self.0 {
            prefix.push(step.clone());
            node.below.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// Reads `fieldsV1`; what it does not understand it leaves out.
    pub(crate) fn decode(fields: &Value) -> Self {
        let mut set = Self::default();
        for (text, value) in fields.as_object().into_iter().flatten() {
            let Some(step) = Step::parse(text) else { continue };
            let member = value.as_object().is_none_or(Map::is_empty) || value.get(".").is_some();
            set.0.insert(step, Node { member, below: Self::decode(value) });
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(crate) fn encode(&self) -> Value {
        let nodes = self.0.iter().map(|(step, node)| {
            let mut below = node.below.encode();
            if node.member && !node.below.is_empty() {
                below["."] = json!({});
            }
            (step.encode(), below)
        });
        Value::Object(nodes.collect())
    }
}

/// A path as messages show it.
pub(crate) fn shown(path: &[Step]) -> String {
    path.iter().map(Step::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_v1_is_read_and_written_alike() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:a/b": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
        let set = FieldSet::decode(&fields);
        assert_eq!(set.encode(), fields);
        let shown: Vec<_> = set.paths().iter().map(|path| shown(path)).collect();
        assert!(shown.contains(&".metadata.labels".to_owned()), "{shown:?}");
        assert!(shown.contains(&".metadata.labels.a/b".to_owned()), "{shown:?}");
        assert!(shown.contains(&".spec.ports[port=80,protocol=\"TCP\"].port".to_owned()), "{shown:?}");
        assert!(!shown.contains(&".metadata".to_owned()), "{shown:?}");
    }

    #[test]
    fn difference_and_intersection_compare_whole_paths_only() {
        let one = FieldSet::decode(&json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
        let two = FieldSet::decode(&json!({"f:data": {"f:a": {}}}));
        assert_eq!(one.difference(&two), FieldSet::decode(&json!({"f:data": {".": {}, "f:b": {}}})));
        assert_eq!(one.intersection(&two), two);
        assert_eq!(two.difference(&one), FieldSet::default());
        assert_eq!(two.union(&one), one);
    }
}
