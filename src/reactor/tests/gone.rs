//! Repositories that are deleted: what is theirs goes, what leads to them says
//! that they are gone.

use super::world::{World, remote};
use crate::oci::{RepoName, Tag};
use crate::policy::Outcome;
use crate::reactor::sweep;
use crate::registry::Caller;
use crate::registry::repository::{Purge, Settings};
use crate::store::record::{JobStatus, PolicyBody};
use crate::store::{Lane, Read as _, Span, Table, policy, queue, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_into_a_deleted_repository_says_so_and_goes_on_when_it_is_back() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    let id = world.promote("dev/website", "qa/website").await;
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    let status = || policy::status(&world.store().snapshot().expect("reads"), &id).expect("reads");
    let moved_at = status().last_moved_at;
    assert!(moved_at.is_some());
    let (source, target): (RepoName, RepoName) =
        ("dev/website".parse().expect("a name"), "qa/website".parse().expect("a name"));
    let left = world.registry.delete_repository(&Caller::System, &target).await.expect("goes");
    assert_eq!(left, [(source.clone(), id)]);
    assert_eq!((status().code.as_str(), status().last_moved_at), ("NO_SUCH_REPOSITORY", moved_at));
    assert!(status().detail.contains("the target qa/website was deleted"), "{}", status().detail);
    // It still stands, and the next push says why it did nothing.
    let digest = world.push("dev/website", "2-stable", "two").await;
    world.settle().await;
    let verdict = world.verdict("dev/website", "2-stable");
    let decision = &verdict.decisions[0].decision;
    assert_eq!(decision.outcome, Outcome::Blocked);
    assert_eq!(decision.reason.to_string(), "the target refused: the repository qa/website does not exist");
    assert_eq!(status().code, "BLOCKED");
    assert!(status().detail.contains("the repository qa/website does not exist"), "{}", status().detail);
    world.registry.create_repository(&Caller::System, &target, Settings::default()).await.expect("is made");
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(world.tag("qa/website", "2-stable").map(|value| value.digest), Some(digest));
    // What was promoted before it was deleted is not brought back.
    assert!(world.tag("qa/website", "1-stable").is_none());
}

/// The job of a transfer that was owed waited for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_repository_leaves_no_row_of_its_policies() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let push =
        world.save(&Caller::System, "dev/website", |saving| saving.body = PolicyBody::Push { remote: remote() }).await;
    world
        .save(&Caller::System, "dev/website", |saving| {
            let schedule = "0 0 * * * *".to_owned();
            saving.body = PolicyBody::Pull { remote: remote(), schedule, changes_only: false };
        })
        .await;
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    // Saved, and not walked for yet.
    world.promote("dev/website", "qa/website").await;
    let tag: Tag = "1-stable".parse().expect("a tag");
    let rows = |table| world.store().snapshot().expect("reads").keys(table, &Span::all(), 100).expect("reads").len();
    let job = transfer::get(&world.store().snapshot().expect("reads"), &push, &tag).expect("reads").expect("owed").job;
    let theirs = [
        Table::Policies,
        Table::PoliciesOf,
        Table::PoliciesInto,
        Table::PolicyStatus,
        Table::Evaluations,
        Table::Transfers,
        Table::TransfersDue,
        Table::Crons,
        Table::Sent,
        Table::Verdicts,
    ];
    for table in theirs {
        assert!(rows(table) > 0, "{}: nothing to remove", table.name());
    }
    // The target of the promotion has a row of this table too, and keeps it.
    let counted = || rows(Table::RepositoryCounts);
    assert_eq!(counted(), 2);
    let name = "dev/website".parse().expect("a name");
    assert_eq!(world.registry.delete_repository(&Caller::System, &name).await.expect("goes"), []);
    while world.store().submit(Lane::Background, Purge).await.expect("runs").expect("is done") {}
    for table in theirs {
        assert_eq!(rows(table), 0, "{}", table.name());
    }
    assert_eq!(counted(), 1);
    let read = world.store().snapshot().expect("reads");
    let job_row = queue::get(&read, &job).expect("reads").expect("is kept");
    assert_eq!(job_row.status, JobStatus::Canceled);
    let lines = queue::lines(&read, &job, 0, 10).expect("reads");
    assert!(lines.iter().any(|(_, line)| line.ends_with("the policy was deleted")), "{lines:?}");
}
