//! Conditions with Kubernetes semantics: a map keyed by type, so duplicates cannot exist.
//!
//! Rules (API conventions of Kubernetes, "Typical status properties"): `lastTransitionTime` moves only when the status
//! does; reasons are stable `CamelCase`; a gate that was not evaluated yet is `Unknown` with a reason.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Status of one condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// It does not.
    False,
    /// Not evaluated, or undecidable at the moment.
    Unknown,
}

/// One condition; its type is the key it stands under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Stable, low-cardinality `CamelCase` word.
    pub reason: String,
    /// For people; no contract.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
}

/// All conditions of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(BTreeMap<String, Condition>);

impl Conditions {
    /// No conditions.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets one condition; `now` becomes its transition time only when the status differs from what it was.
    /// Returns whether anything changed at all.
    pub fn set(&mut self, kind: &str, status: ConditionStatus, reason: &str, message: &str, now: Timestamp) -> bool {
        let last_transition_time = match self.0.get(kind) {
            Some(old) if old.status == status => old.last_transition_time,
            _ => now,
        };
        let new = Condition { status, reason: reason.to_owned(), message: message.to_owned(), last_transition_time };
        self.0.insert(kind.to_owned(), new.clone()) != Some(new)
    }

    /// One condition by its type.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.0.get(kind)
    }

    /// All of them, ordered by type.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Condition)> {
        self.0.iter().map(|(kind, condition)| (kind.as_str(), condition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let (early, late) = (Timestamp::from_second(1).expect("in range"), Timestamp::from_second(2).expect("in range"));
        let mut conditions = Conditions::new();
        assert!(conditions.set("Ready", ConditionStatus::Unknown, "NotEvaluated", "", early));
        assert!(conditions.set("Ready", ConditionStatus::Unknown, "StillWaiting", "", late));
        assert_eq!(conditions.get("Ready").map(|c| c.last_transition_time), Some(early));
        assert!(!conditions.set("Ready", ConditionStatus::Unknown, "StillWaiting", "", late));
        assert!(conditions.set("Ready", ConditionStatus::True, "Reconciled", "", late));
        assert_eq!(conditions.get("Ready").map(|c| c.last_transition_time), Some(late));
        assert_eq!(conditions.iter().count(), 1);
    }
}
