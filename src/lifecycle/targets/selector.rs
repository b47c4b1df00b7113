//! Label selectors, as `metav1.LabelSelector` means them.

use std::collections::BTreeMap;

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
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|(label, requirement)| {
            let value = labels.get(label);
            match requirement {
                Requirement::In(values) => value.is_some_and(|value| values.contains(value)),
                Requirement::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
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
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let values = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("a", Requirement::In(values(&["1", "2"])), true),
            ("a", Requirement::In(values(&["2"])), false),
            ("b", Requirement::In(values(&["1"])), false),
            ("a", Requirement::NotIn(values(&["1"])), false),
            ("a", Requirement::NotIn(values(&["2"])), true),
            ("b", Requirement::NotIn(values(&["1"])), true),
            ("a", Requirement::Exists, true),
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
