//! The lines of the table: which figure of which case, and what it is held
//! against.

use super::goal::{Case, Goal, Unit};

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) case: Case,
    /// Which figure.
    pub(crate) figure: &'static str,
    pub(crate) unit: Unit,
    /// Lanes that show what the machine gives; the lowest counts.
    pub(crate) limits: Vec<String>,
    pub(crate) goals: Vec<Goal>,
}

impl Row {
    /// A line without a goal.
    pub(crate) fn new(case: &Case, figure: &'static str, unit: Unit) -> Self {
        Self { case: case.clone(), figure, unit, limits: Vec::new(), goals: Vec::new() }
    }

    /// With a limit.
    pub(crate) fn limit(mut self, lane: &str) -> Self {
        self.limits.push(lane.to_owned());
        self
    }

    /// With a goal.
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }
}
