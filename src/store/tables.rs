//! Every table on one page.
//!
//! All tables map bytes to bytes. A key is a row of parts built by
//! `store::key`: big-endian integers and raw identifiers first, text last,
//! so that bytes sort as the values do. A value is a record behind a version
//! byte (`super::record`), or empty where the key says it all.
//!
//! | Table | Key | Value | Written by | For |
//! |---|---|---|---|---|
//! | `meta` | name | integer or text | store | format, instance, generation, event sequence, cursor |
//! | `accounts` | account name | `Account` | account calls | who exists |
//! | `account_ids` | account id | account name | account calls | ids of the accounts API |
//! | `organizations` | account id | `OrganizationSize` | member and team calls | how many members and teams an organization has |
//! | `members` | organization id, user id | `Member` | member calls | who belongs to an organization |
//! | `memberships` | user id, organization id | empty | same | back index |
//! | `teams` | organization id, team id | `Team` | team calls | the teams of an organization |
//! | `team_names` | organization id, team name | team id | same | names back to ids |
//! | `team_members` | team id, user id | `Member` | member calls | who belongs to a team |
//! | `user_teams` | user id, organization id, team id | empty | same | back index |
//! | `namespace_grants` | organization id, team id | `Grant` | grant calls | what a team may do in the whole namespace |
//! | `repository_grants` | repository, team id | `Grant` | same | what a team may do with a repository |
//! | `team_grants` | team id, repository name | repository number | same | back index, in the order of listings |
//! | `repositories` | repository name | `Repository` | repository calls | what exists, its settings |
//! | `public_repositories` | repository name | empty | repository calls | what everyone may see |
//! | `repository_ids` | repository number | repository name | repository calls | numbers back to names |
//! | `repository_counts` | repository number | `Counts` | whatever sets or removes a tag, sweep | pulls, pushes, how many tags |
//! | `tags` | repository, tag | `TagValue` | manifest put, promotion, mirror | the current value |
//! | `tag_history` | repository, tag, 0, sequence | `TagPast` | whatever moves or removes a tag | past values and removals, bounded by count and age |
//! | `digest_tags` | repository, digest, tag | empty | whatever moves a tag | tags of a manifest |
//! | `manifests` | digest | `ManifestBody` | manifest put | kind and bytes, or the file that holds them |
//! | `manifest_links` | digest | `ManifestLinks` | manifest put | what a manifest names |
//! | `holes` | repository, absent digest, manifest digest | empty | manifest put, delete | what a manifest names and is not there |
//! | `repository_manifests` | repository, digest | `Linked` | manifest put, promotion, mirror | what is readable where |
//! | `manifest_repositories` | digest, repository | empty | same | back index |
//! | `parents` | digest, parent digest | empty | manifest put | which manifests name a digest |
//! | `referrers` | repository, subject, digest | `Referrer` | manifest put, promotion, mirror | the referrers listing |
//! | `blobs` | digest | `Blob` | upload | size and file |
//! | `repository_blobs` | repository, digest | `Linked` | upload, mount, promotion, mirror | what is readable where |
//! | `blob_repositories` | digest, repository | empty | same | back index |
//! | `unlinks` | digest, upload id | empty | whatever drops a file's name | files to remove after the grace period |
//! | `policies` | policy id | `Policy` | policy calls | promotion, push and pull mirror policies |
//! | `policies_of` | repository, policy id | empty | policy calls | policies whose source (pull: target) this is |
//! | `policies_into` | repository name, 0, policy id | empty | policy calls | promotion policies that target it |
//! | `policy_status` | policy id | `PolicyStatus` | reactor, jobs | last act, last result |
//! | `evaluations` | policy id | `Evaluation` | policy calls, reactor | a walk over existing tags, with its cursor |
//! | `verdicts` | repository, tag | `Verdict` | reactor | what was decided for the current value: the idempotence key |
//! | `sent` | repository, subject, target name | policy id | reactor | where a manifest was promoted to, for referrers that come later |
//! | `baselines` | policy id, version, tag | digest | pull mirror | what was there when a mirror was saved |
//! | `transfers` | policy id, tag | `Transfer` | reactor, jobs | what must reach (or come from) another registry |
//! | `transfers_due` | time, policy id, tag | empty | same | which transfer is next |
//! | `events` | sequence | `Event` | everything that changes something | what happened, in order |
//! | `jobs` | job id | `Job` | reactor, jobs, calls | work with a history |
//! | `jobs_due` | time, job id | empty | same | which waiting job is next |
//! | `jobs_listed` | time, job id | empty | same | newest first, and pruning |
//! | `job_logs` | job id, line | text | jobs | what a job says |
//! | `quarantine` | digest, `blob` or `manifest` | `Quarantined` | scrub, reads, uploads | bytes that are damaged; then they are in neither `blobs` nor `manifests` |
//! | `scrub` | `current` or `last` | `Pass` | scrub | where the pass over all bytes stands, and the last whole one |
//! | `usage` | `all`, or `namespace`, 0, name, or `repository`, 0, number | `Usage` | whatever links, stores and removes | bytes held |
//! | `quotas` | the same | `Quota` | repository and quota calls | bytes that may be held |
//! | `purges` | repository number, policy id, or `account` or `team` and its ids | empty | deletions | rows still to be removed, in slices |
//! | `settings` | `registry` | `Settings` | settings call | what an operator sets while the daemon runs |
//! | `audit` | class, number | `Entry` | whatever somebody will ask about | who did what, from where and why |
//! | `crons` | policy id | `Cron` | schedule | last slot that ran |
//! | `tokens` | SHA-256 of its text | `Token` | token calls, sign-in | access tokens |
//! | `held_tokens` | account or robot id, SHA-256 | empty | same | whose they are |
//! | `robots` | account id of the namespace, name | `Robot` | robot calls | names for programs |
//! | `robot_ids` | robot id | account id of the namespace, name | same | ids back to names |
//! | `certified` | name in a certificate | `Certified` | certificate calls | which account it stands for |

/// One table. The number is its place in the row of open tables, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says what each is")]
pub enum Table {
    Meta,
    Accounts,
    AccountIds,
    Repositories,
    RepositoryIds,
    Tags,
    TagHistory,
    DigestTags,
    Manifests,
    ManifestLinks,
    RepositoryManifests,
    ManifestRepositories,
    Parents,
    Referrers,
    Blobs,
    RepositoryBlobs,
    BlobRepositories,
    Unlinks,
    Policies,
    PoliciesOf,
    PoliciesInto,
    PolicyStatus,
    Evaluations,
    Verdicts,
    Sent,
    Baselines,
    Transfers,
    TransfersDue,
    Events,
    Jobs,
    JobsDue,
    JobsListed,
    JobLogs,
    Crons,
    Purges,
    RepositoryCounts,
    Holes,
    PublicRepositories,
    Quarantine,
    Scrub,
    Usage,
    Quotas,
    Organizations,
    Members,
    Memberships,
    Teams,
    TeamNames,
    TeamMembers,
    UserTeams,
    NamespaceGrants,
    RepositoryGrants,
    TeamGrants,
    Settings,
    Tokens,
    HeldTokens,
    Robots,
    RobotIds,
    Certified,
    Audit,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 59] = [
        Self::Meta,
        Self::Accounts,
        Self::AccountIds,
        Self::Repositories,
        Self::RepositoryIds,
        Self::Tags,
        Self::TagHistory,
        Self::DigestTags,
        Self::Manifests,
        Self::ManifestLinks,
        Self::RepositoryManifests,
        Self::ManifestRepositories,
        Self::Parents,
        Self::Referrers,
        Self::Blobs,
        Self::RepositoryBlobs,
        Self::BlobRepositories,
        Self::Unlinks,
        Self::Policies,
        Self::PoliciesOf,
        Self::PoliciesInto,
        Self::PolicyStatus,
        Self::Evaluations,
        Self::Verdicts,
        Self::Sent,
        Self::Baselines,
        Self::Transfers,
        Self::TransfersDue,
        Self::Events,
        Self::Jobs,
        Self::JobsDue,
        Self::JobsListed,
        Self::JobLogs,
        Self::Crons,
        Self::Purges,
        Self::RepositoryCounts,
        Self::Holes,
        Self::PublicRepositories,
        Self::Quarantine,
        Self::Scrub,
        Self::Usage,
        Self::Quotas,
        Self::Organizations,
        Self::Members,
        Self::Memberships,
        Self::Teams,
        Self::TeamNames,
        Self::TeamMembers,
        Self::UserTeams,
        Self::NamespaceGrants,
        Self::RepositoryGrants,
        Self::TeamGrants,
        Self::Settings,
        Self::Tokens,
        Self::HeldTokens,
        Self::Robots,
        Self::RobotIds,
        Self::Certified,
        Self::Audit,
    ];

    /// The name in the database file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Accounts => "accounts",
            Self::AccountIds => "account_ids",
            Self::Repositories => "repositories",
            Self::RepositoryIds => "repository_ids",
            Self::Tags => "tags",
            Self::TagHistory => "tag_history",
            Self::DigestTags => "digest_tags",
            Self::Manifests => "manifests",
            Self::ManifestLinks => "manifest_links",
            Self::RepositoryManifests => "repository_manifests",
            Self::ManifestRepositories => "manifest_repositories",
            Self::Parents => "parents",
            Self::Referrers => "referrers",
            Self::Blobs => "blobs",
            Self::RepositoryBlobs => "repository_blobs",
            Self::BlobRepositories => "blob_repositories",
            Self::Unlinks => "unlinks",
            Self::Policies => "policies",
            Self::PoliciesOf => "policies_of",
            Self::PoliciesInto => "policies_into",
            Self::PolicyStatus => "policy_status",
            Self::Evaluations => "evaluations",
            Self::Verdicts => "verdicts",
            Self::Sent => "sent",
            Self::Baselines => "baselines",
            Self::Transfers => "transfers",
            Self::TransfersDue => "transfers_due",
            Self::Events => "events",
            Self::Jobs => "jobs",
            Self::JobsDue => "jobs_due",
            Self::JobsListed => "jobs_listed",
            Self::JobLogs => "job_logs",
            Self::Crons => "crons",
            Self::Purges => "purges",
            Self::RepositoryCounts => "repository_counts",
            Self::Holes => "holes",
            Self::PublicRepositories => "public_repositories",
            Self::Quarantine => "quarantine",
            Self::Scrub => "scrub",
            Self::Usage => "usage",
            Self::Quotas => "quotas",
            Self::Organizations => "organizations",
            Self::Members => "members",
            Self::Memberships => "memberships",
            Self::Teams => "teams",
            Self::TeamNames => "team_names",
            Self::TeamMembers => "team_members",
            Self::UserTeams => "user_teams",
            Self::NamespaceGrants => "namespace_grants",
            Self::RepositoryGrants => "repository_grants",
            Self::TeamGrants => "team_grants",
            Self::Settings => "settings",
            Self::Tokens => "tokens",
            Self::HeldTokens => "held_tokens",
            Self::Robots => "robots",
            Self::RobotIds => "robot_ids",
            Self::Certified => "certified",
            Self::Audit => "audit",
        }
    }

    pub(super) const fn definition(self) -> redb::TableDefinition<'static, &'static [u8], &'static [u8]> {
        redb::TableDefinition::new(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn numbers_names_and_the_page_agree() {
        let page = include_str!("tables.rs");
        for (number, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, number, "{}", table.name());
            assert!(page.contains(&format!("//! | `{}` |", table.name())), "{} is not on the page", table.name());
        }
    }

    #[test]
    fn the_page_for_operators_lists_every_table_and_the_version_of_its_record() {
        use crate::store::Stored as _;
        use crate::store::record as r;
        let page = include_str!("../../docs/FORMAT.md");
        let version = |table: Table| match table {
            Table::Accounts => Some(("Account", r::Account::VERSION)),
            Table::Repositories => Some(("Repository", r::Repository::VERSION)),
            Table::RepositoryCounts => Some(("Counts", r::Counts::VERSION)),
            Table::Tags => Some(("TagValue", r::TagValue::VERSION)),
            Table::TagHistory => Some(("TagPast", r::TagPast::VERSION)),
            Table::Manifests => Some(("ManifestBody", r::ManifestBody::VERSION)),
            Table::ManifestLinks => Some(("ManifestLinks", r::ManifestLinks::VERSION)),
            Table::RepositoryManifests | Table::RepositoryBlobs => Some(("Linked", r::Linked::VERSION)),
            Table::Referrers => Some(("Referrer", r::Referrer::VERSION)),
            Table::Blobs => Some(("Blob", r::Blob::VERSION)),
            Table::Policies => Some(("Policy", r::Policy::VERSION)),
            Table::PolicyStatus => Some(("PolicyStatus", r::PolicyStatus::VERSION)),
            Table::Evaluations => Some(("Evaluation", r::Evaluation::VERSION)),
            Table::Verdicts => Some(("Verdict", r::Verdict::VERSION)),
            Table::Transfers => Some(("Transfer", r::Transfer::VERSION)),
            Table::Events => Some(("Event", crate::event::Event::VERSION)),
            Table::Jobs => Some(("Job", r::Job::VERSION)),
            Table::Crons => Some(("Cron", r::Cron::VERSION)),
            Table::Quarantine => Some(("Quarantined", r::Quarantined::VERSION)),
            Table::Scrub => Some(("Pass", r::Pass::VERSION)),
            Table::Usage => Some(("Usage", r::Usage::VERSION)),
            Table::Quotas => Some(("Quota", r::Quota::VERSION)),
            Table::Organizations => Some(("OrganizationSize", r::OrganizationSize::VERSION)),
            Table::Members | Table::TeamMembers => Some(("Member", r::Member::VERSION)),
            Table::Teams => Some(("Team", r::Team::VERSION)),
            Table::NamespaceGrants | Table::RepositoryGrants => Some(("Grant", r::Grant::VERSION)),
            Table::Settings => Some(("Settings", r::Settings::VERSION)),
            Table::Tokens => Some(("Token", r::Token::VERSION)),
            Table::Robots => Some(("Robot", r::Robot::VERSION)),
            Table::Certified => Some(("Certified", r::Certified::VERSION)),
            Table::Audit => Some(("Entry", crate::audit::Entry::VERSION)),
            _ => None,
        };
        for table in Table::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", table.name())));
            let row = row.unwrap_or_else(|| panic!("{} is not on the page", table.name()));
            if let Some((record, version)) = version(table) {
                assert!(row.ends_with(&format!("| `{record}` | {version} |")), "{row}");
            } else {
                assert!(row.ends_with("| |"), "{row}");
            }
        }
    }
}
