//! The sweep: verdicts that are missing, and blocked decisions that may fall
//! differently now.
//!
//! It looks for missing *verdicts*, never for missing target tags: what
//! somebody deleted at a target stays deleted. Work that it finds and that the
//! events should have done is a fault, and is logged as one.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::lifecycle::Scope;
use crate::limits;
use crate::oci::{RepoName, Tag};
use crate::policy::{Intent, Outcome, Trigger};
use crate::registry::Caller;
use crate::registry::access_token::write_uses;
use crate::registry::copy::Promotion;
use crate::registry::count::write_pulls;
use crate::store::record::TagValue;
use crate::store::{Lane, Read, RepoId, Store, StoreError, error_chain, event, policy, repo, tag};

use super::decide::{Deciding, Occasion, is_final};
use super::evaluate::{Decide, deciding, follows_subject};
use super::view::View;

/// Tags looked at from one snapshot.
const SLICE: usize = 256;

/// How the sweep goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The time between two sweeps.
    pub every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { every: limits::SWEEP_EVERY }
    }
}

/// Sweeps from time to time until the scope is told to stop. Pulls that were
/// counted since are written down with each sweep, and at the end.
pub async fn run(store: Store, scope: Scope, options: Options) {
    while scope.until_stopped(tokio::time::sleep(options.every)).await.is_some() {
        match scope.until_stopped(sweep(&store)).await {
            None | Some(Err(StoreError::Stopped)) => break,
            // Without room it goes on when there is some.
            Some(Ok(0) | Err(StoreError::Full)) => {}
            Some(Ok(missed)) => tracing::warn!(tags = missed, "the sweep found tags without a verdict"),
            Some(Err(error)) => tracing::error!(error = %error_chain(&error), "the sweep failed; it is tried again"),
        }
        write(&store).await;
    }
    write(&store).await;
}

async fn write(store: &Store) {
    match write_pulls(store).await {
        Ok(()) | Err(StoreError::Stopped) => {}
        Err(error) => tracing::error!(error = %error_chain(&error), "pulls could not be written down; they are kept"),
    }
    match write_uses(store).await {
        Ok(()) | Err(StoreError::Stopped) => {}
        Err(error) => tracing::error!(error = %error_chain(&error), "uses of tokens could not be written down"),
    }
}

/// One sweep over all repositories that policies stand on; how many tags had
/// no verdict that should have had one.
pub async fn sweep(store: &Store) -> Result<usize, StoreError> {
    let mut missed = 0;
    let repositories = policy::repositories(&store.snapshot()?)?;
    for number in repositories {
        let mut after: Option<String> = None;
        loop {
            let (found, next) = look(store, number, after.as_deref())?;
            for (deciding, is_missing) in found {
                missed += usize::from(is_missing);
                // Overtaken: the next sweep looks again.
                let _ = store.submit(Lane::Background, Decide { walk: None, tags: vec![deciding] }).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(missed)
}

type Looked = (Vec<(Deciding, bool)>, Option<String>);

fn look(store: &Store, number: RepoId, after: Option<&str>) -> Result<Looked, StoreError> {
    let read = store.snapshot()?;
    let Some(name) = repo::name_of(&read, number)? else { return Ok((Vec::new(), None)) };
    let view = View::read(&read, number, name)?;
    if view.is_empty() {
        return Ok((Vec::new(), None));
    }
    let cursor = event::cursor(&read)?;
    let mut tags: Vec<(Tag, TagValue)> = Vec::new();
    let mut more = false;
    tag::walk(&read, number, after, |name, value| {
        if tags.len() == SLICE {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        tags.push((name, value));
        Ok(ControlFlow::Continue(()))
    })?;
    let next = if more { tags.last().map(|(name, _)| name.to_string()) } else { None };
    let mut found = Vec::new();
    for (tag, value) in tags {
        if value.seq > cursor || follows_subject(&read, number, &tag)? {
            continue;
        }
        if let Some(work) = consider(store, &read, &view, tag, &value)? {
            found.push(work);
        }
    }
    Ok((found, next))
}

/// What is to be done about one tag, and whether that was missed.
fn consider(
    store: &Store,
    read: &impl Read,
    view: &View,
    tag: Tag,
    value: &TagValue,
) -> Result<Option<(Deciding, bool)>, StoreError> {
    let verdict = policy::verdict(read, view.repository, &tag)?.filter(|verdict| verdict.seq == value.seq);
    let mut work = deciding(store, view, (Trigger::Sweep, Occasion::Sweep), tag, value);
    let mut missing = false;
    let mut keep = Vec::new();
    for decision in &work.plan.decisions {
        let walked = policy::evaluation(read, decision.policy.id())?.is_some();
        let known = verdict.as_ref().and_then(|verdict| verdict.of(decision.policy.id())).map(|made| &made.decision);
        let is_due = match known {
            // A walk over existing tags is on its way there.
            _ if walked => false,
            None => {
                // A denial adds nothing that a plan would not say again.
                let is_missing = decision.outcome == Outcome::Allow;
                missing |= is_missing;
                is_missing
            }
            Some(made) if is_final(made, decision.version) => false,
            Some(made) if made.outcome == Outcome::Blocked && decision.outcome == Outcome::Allow => {
                may_go_on(read, &view.name, &work, value, *decision.policy.id())?
            }
            // Denied then (switched off, another version) and allowed now: the
            // save that changed it decided whether existing tags are walked.
            Some(_) => false,
        };
        if is_due {
            keep.push(decision.policy);
        }
    }
    if keep.is_empty() {
        return Ok(None);
    }
    work.plan.decisions.retain(|decision| keep.contains(&decision.policy));
    Ok(Some((work, missing)))
}

/// Whether a promotion that was blocked would be taken now.
fn may_go_on(
    read: &impl Read,
    name: &RepoName,
    work: &Deciding,
    value: &TagValue,
    id: crate::chance::Id,
) -> Result<bool, StoreError> {
    let Some(policy) = policy::get(read, &id)? else { return Ok(false) };
    let Some(owner) = Caller::of_owner(read, policy.owner)? else { return Ok(false) };
    for intent in &work.plan.intents {
        match intent {
            Intent::Promote { policy, target, tag, digest, .. } if *policy.id() == id => {
                let promotion = Promotion {
                    source: name.clone(),
                    tag: work.tag.clone(),
                    digest: *digest,
                    target: target.clone(),
                    target_tag: tag.clone(),
                    policy: Some(id),
                    chain: value.chain.clone(),
                };
                return Ok(promotion.check(read, &owner)?.is_ok());
            }
            Intent::Mirror { policy, .. } if *policy.id() == id => return Ok(true),
            Intent::Promote { .. } | Intent::Mirror { .. } => {}
        }
    }
    Ok(false)
}
