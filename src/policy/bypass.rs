//! The do-not-decrypt list: hosts whose connections are relayed unread, each with a reason
//! that reaches the audit record. A bypass never overrides a denial.

use std::sync::Arc;

use super::category::Category;
use super::matching::{Matcher, Rule, Who};
use super::verdict::Reason;
use crate::net::Host;

#[derive(Debug)]
pub(super) struct BypassList {
    rules: Vec<Matcher>,
    /// Some rule names addresses.
    pub(super) has_addresses: bool,
}

impl BypassList {
    pub(super) fn new(rules: &[Rule], categories: &[Category]) -> BypassList {
        let rules: Vec<Matcher> = rules.iter().map(|rule| Matcher::new(rule, categories)).collect();
        BypassList { has_addresses: rules.iter().any(Matcher::has_addresses), rules }
    }

    /// The first rule that takes this host out of inspection.
    pub(super) fn find(&self, host: &Host, who: Who<'_>) -> Option<Reason> {
        self.rules
            .iter()
            .find(|rule| rule.matches(host, who))
            .map(|rule| Reason::Bypass { rule: Arc::clone(&rule.name), note: rule.note.clone() })
    }
}
