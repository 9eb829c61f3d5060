//! Chains of promotions, seen from above: which loops a policy closes.
//!
//! A loop does no harm (no image goes through a policy twice), but it is
//! seldom meant, so saving the policy that closes one warns. Whether a tag
//! really goes round depends on rules and templates; the repositories alone
//! say that it could.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::id::PolicyId;
use super::promotion::PromotionPolicy;
use crate::limits;
use crate::oci::RepoName;

/// One promotion policy as a step from repository to repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where it takes tags from.
    pub source: RepoName,
    /// The policy.
    pub policy: PolicyId,
    /// Where it writes them.
    pub target: RepoName,
    /// Whether tags keep their names on the way.
    pub keeps_tag: bool,
}

/// A row of steps that ends where it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// The steps; the new policy's is the first.
    pub steps: Vec<Edge>,
}

impl Edge {
    /// The step that a policy of `source` makes.
    pub fn new(source: RepoName, policy: &PromotionPolicy) -> Self {
        let keeps_tag = policy.terms.template.keeps_name();
        Self { source, policy: policy.terms.id, target: policy.target.clone(), keeps_tag }
    }
}

impl Loop {
    /// Whether a tag that goes round comes back under its own name, so that
    /// the last step writes what is there already. Otherwise each round
    /// through other policies leaves another tag behind.
    pub fn keeps_tag(&self) -> bool {
        self.steps.iter().all(|step| step.keeps_tag)
    }
}

/// The loops that `new` closes over the `existing` steps: for every step that
/// leads back to where `new` begins the shortest, nearest first, at most
/// [`limits::LOOPS_REPORTED`]. Takes time in proportion to the steps. An
/// existing step of the same policy is taken as replaced by `new`.
pub fn loops(existing: &[Edge], new: &Edge) -> Vec<Loop> {
    if new.source == new.target {
        return vec![Loop { steps: vec![new.clone()] }];
    }
    let mut leaving: HashMap<&RepoName, Vec<&Edge>> = HashMap::new();
    for edge in existing.iter().filter(|edge| edge.policy != new.policy) {
        leaving.entry(&edge.source).or_default().push(edge);
    }
    let mut found = Vec::new();
    // By repository, the step by which it was first reached.
    let mut reached: HashMap<&RepoName, &Edge> = HashMap::from([(&new.target, new)]);
    let mut next = VecDeque::from([&new.target]);
    while let Some(here) = next.pop_front() {
        for edge in leaving.get(here).into_iter().flatten().copied() {
            if edge.target == new.source {
                found.push(Loop { steps: way(&reached, new, edge) });
                if found.len() == limits::LOOPS_REPORTED {
                    return found;
                }
            } else if !reached.contains_key(&edge.target) {
                reached.insert(&edge.target, edge);
                next.push_back(&edge.target);
            }
        }
    }
    found
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{} -> ", step.source)?;
        }
        match self.steps.first() {
            Some(first) => write!(f, "{}", first.source),
            None => Ok(()),
        }
    }
}

/// The steps from `new` to `last`, found backwards.
fn way(reached: &HashMap<&RepoName, &Edge>, new: &Edge, last: &Edge) -> Vec<Edge> {
    let mut steps = vec![last.clone()];
    let mut at = &last.source;
    while let Some(step) = reached.get(at) {
        steps.push((*step).clone());
        if step.policy == new.policy {
            break;
        }
        at = &step.source;
    }
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Id;

    fn edge(number: u8, source: &str, target: &str) -> Edge {
        let name = |text: &str| format!("{text}/web").parse().expect("a name");
        let policy = PolicyId::new(Id::from_bytes([number; 16]));
        Edge { source: name(source), policy, target: name(target), keeps_tag: true }
    }

    fn told(existing: &[Edge], new: &Edge) -> Vec<String> {
        loops(existing, new).iter().map(Loop::to_string).collect()
    }

    #[test]
    fn finds_what_a_new_policy_closes() {
        let row = [edge(1, "dev", "qa"), edge(2, "qa", "prod")];
        assert!(loops(&row, &edge(3, "dev", "prod")).is_empty());
        assert!(loops(&row, &edge(3, "prod", "archive")).is_empty());
        assert_eq!(told(&row, &edge(3, "qa", "dev")), ["qa/web -> dev/web -> qa/web"]);
        assert_eq!(told(&row, &edge(3, "prod", "dev")), ["prod/web -> dev/web -> qa/web -> prod/web"]);
        assert_eq!(told(&row, &edge(3, "dev", "dev")), ["dev/web -> dev/web"]);
    }

    #[test]
    fn a_loop_that_was_there_is_not_the_new_policys() {
        let ring = [edge(1, "dev", "qa"), edge(2, "qa", "dev")];
        assert!(loops(&ring, &edge(3, "ci", "dev")).is_empty());
        // Saving a policy again: its old step does not count.
        assert!(loops(&ring, &edge(2, "qa", "prod")).is_empty());
        assert_eq!(told(&ring, &edge(2, "qa", "dev")), ["qa/web -> dev/web -> qa/web"]);
    }

    #[test]
    fn every_way_back_is_told_up_to_a_limit() {
        let two = [edge(1, "qa", "dev"), edge(2, "qa", "lab"), edge(3, "lab", "dev")];
        let new = edge(9, "dev", "qa");
        assert_eq!(told(&two, &new), ["dev/web -> qa/web -> dev/web", "dev/web -> qa/web -> lab/web -> dev/web"]);
        let renaming = Edge { keeps_tag: false, ..edge(1, "qa", "dev") };
        assert!(loops(&two, &new).iter().all(Loop::keeps_tag));
        assert!(!loops(&[renaming], &new)[0].keeps_tag());
        let many: Vec<_> = (10..200).map(|number| edge(number, "qa", "dev")).collect();
        assert_eq!(loops(&many, &new).len(), limits::LOOPS_REPORTED);
    }

    proptest::proptest! {
        #[test]
        fn every_loop_is_one(
            edges in proptest::collection::vec((0..6_u8, 0..6_u8), 0..24), from in 0..6_u8, to in 0..6_u8,
        ) {
            let name = |number: u8| ["a", "b", "c", "d", "e", "f"][usize::from(number)];
            let edges: Vec<_> = edges.iter().zip(1..).map(|((s, t), n)| edge(n, name(*s), name(*t))).collect();
            let new = edge(0, name(from), name(to));
            let found = loops(&edges, &new);
            for Loop { steps } in &found {
                proptest::prop_assert_eq!(&steps[0], &new);
                proptest::prop_assert_eq!(&steps[steps.len() - 1].target, &new.source);
                proptest::prop_assert!(steps.windows(2).all(|pair| pair[0].target == pair[1].source));
            }
            // Against a plain closure: there is one exactly when the source can be reached from the target.
            let mut can = vec![new.target.clone()];
            for _ in 0..6 {
                can.extend(edges.iter().filter(|e| can.contains(&e.source)).map(|e| e.target.clone()).collect::<Vec<_>>());
                can.sort();
                can.dedup();
            }
            proptest::prop_assert_eq!(found.is_empty(), !can.contains(&new.source));
        }
    }
}
