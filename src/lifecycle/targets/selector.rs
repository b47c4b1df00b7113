//! Label selectors, as `metav1.LabelSelector` means them.

use std::sync::Arc;

/// The labels of an object, sorted. A thousand namespaces have two or three each, for which a map's nodes are large.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of a label.
    #[must_use]
    pub fn get(&self, label: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(name, _)| name.as_ref().cmp(label)).ok()?;
        self.0.get(place).map(|(_, value)| value.as_ref())
    }
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(labels: I) -> Self {
        let mut labels: Vec<_> = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        labels.sort();
        Self(labels.into())
    }
}

/// Which labels an object must have. Without requirements it selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// All of these must hold.
    pub requirements: Vec<(String, Requirement)>,
}

/// What is required of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// It has one of these values.
    In(Vec<String>),
    /// It has none of these values, or is not there.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|(label, requirement)| {
            let value = labels.get(label);
            let among = |values: &[String]| value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
            match requirement {
                Requirement::In(values) => among(values),
                Requirement::NotIn(values) => !among(values),
                Requirement::Exists => value.is_some(),
                Requirement::DoesNotExist => value.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_means_what_kubernetes_says() {
        let labels =
            Labels::from_iter([("c", "3"), ("a", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        let values = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("a", Requirement::In(values(&["1", "2"])), true),
            ("a", Requirement::In(values(&["2"])), false),
            ("b", Requirement::In(values(&["1"])), false),
            ("a", Requirement::NotIn(values(&["1"])), false),
            ("a", Requirement::NotIn(values(&["2"])), true),
            ("b", Requirement::NotIn(values(&["1"])), true),
            ("a", Requirement::Exists, true),
            ("c", Requirement::In(values(&["3"])), true),
            ("b", Requirement::Exists, false),
            ("a", Requirement::DoesNotExist, false),
            ("b", Requirement::DoesNotExist, true),
        ];
        for (label, requirement, expected) in cases {
            let selector = Selector { requirements: vec![(label.to_owned(), requirement)] };
            assert_eq!(selector.matches(&labels), expected, "{selector:?}");
        }
        assert!(Selector::default().matches(&labels), "no requirement selects everything");
    }
}
