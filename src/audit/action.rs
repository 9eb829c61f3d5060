//! The vocabulary: what can be done, to what kind of thing, and which rows are
//! kept together.

use serde::{Deserialize, Serialize};

/// What was done. The names are the API's; the order is the stored form's, so
/// a new one goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// A user was made.
    AccountCreate,
    /// A user's name for people changed.
    AccountUpdate,
    /// A user became a system admin, or is none any more.
    AccountAdmin,
    /// A user may sign in again.
    AccountActivate,
    /// A user may not sign in any more.
    AccountDeactivate,
    /// A user got another password.
    AccountPassword,
    /// A user was removed.
    AccountDelete,
    /// An organization was made.
    OrganizationCreate,
    /// An organization's name for people changed.
    OrganizationUpdate,
    /// An organization was removed.
    OrganizationDelete,
    /// A user was let into an organization.
    MemberAdd,
    /// A member became an owner of an organization, or is none any more.
    MemberUpdate,
    /// A user was taken out of an organization.
    MemberRemove,
    /// A team was made.
    TeamCreate,
    /// A team's name or description changed.
    TeamUpdate,
    /// A team was removed.
    TeamDelete,
    /// A user was let into a team.
    TeamMemberAdd,
    /// A member became an admin of a team, or is none any more.
    TeamMemberUpdate,
    /// A user was taken out of a team.
    TeamMemberRemove,
    /// A team got a level on a repository or in a namespace.
    GrantSet,
    /// A team's level was taken away.
    GrantRemove,
    /// A repository was made.
    RepositoryCreate,
    /// A repository's settings changed, who may see it among them.
    RepositoryUpdate,
    /// A repository was removed, with all that was in it.
    RepositoryDelete,
    /// A policy was made.
    PolicyCreate,
    /// A policy changed.
    PolicyUpdate,
    /// A policy was removed.
    PolicyDelete,
    /// A client pushed a tag.
    TagPush,
    /// A tag was promoted here, by a policy or by hand.
    TagPromote,
    /// A tag was brought in from another registry.
    TagPull,
    /// A tag was set back to what it was.
    TagRestore,
    /// A tag was removed.
    TagDelete,
    /// A manifest was removed from a repository.
    ManifestDelete,
    /// A blob was removed from a repository.
    BlobDelete,
    /// A quota was set or taken away.
    QuotaSet,
    /// What an operator sets while the daemon runs changed.
    SettingsUpdate,
    /// A collection of what nothing needs was asked for.
    CollectionStart,
    /// A pass over everything that is stored was asked for.
    ScrubStart,
    /// What is damaged was asked to be tried again.
    HealStart,
    /// A pull mirror was asked to look now.
    MirrorRun,
    /// A tag was sent to another registry by hand.
    TagSend,
    /// A job was called off.
    JobCancel,
    /// A job was called off and removed with its log.
    JobDelete,
    /// A backup was begun: all rows leave this host.
    BackupBegin,
    /// The daemon's keys were handed to a backup.
    BackupKeys,
    /// Somebody could not sign in, so many times.
    SignInFail,
    /// Somebody made an access token.
    TokenCreate,
    /// An access token was renamed, switched off or on.
    TokenUpdate,
    /// An access token was removed.
    TokenDelete,
    /// A robot was made.
    RobotCreate,
    /// A robot's description or scopes changed.
    RobotUpdate,
    /// A robot was removed, with its tokens.
    RobotDelete,
    /// A name in client certificates was mapped to an account.
    CertificateMap,
    /// A name in client certificates is nobody's any more.
    CertificateUnmap,
    /// A sealing key was added, which seals from then on.
    KeyAdd,
    /// A sealing key that sealed nothing any more was taken away.
    KeyRetire,
    /// All that is sealed was asked to be sealed anew.
    RekeyStart,
}

/// Which rows are kept together: each class has its own bounds, so that what
/// many may do often never pushes out what few do seldom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// What only system admins do.
    System,
    /// What owners do in their namespaces.
    Namespace,
    /// What becomes of tags and images.
    Content,
    /// Sign-ins that failed.
    SignIn,
    /// What would be of `Namespace`, done by users to themselves and in their
    /// own namespaces.
    Own,
}

/// What kind of thing something was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A user.
    Account,
    /// An organization.
    Organization,
    /// A team: `organization/team`.
    Team,
    /// A repository: `namespace/name`.
    Repository,
    /// A policy, by the repository it stands on.
    Policy,
    /// A tag: `namespace/name:tag`.
    Tag,
    /// A manifest: `namespace/name@digest`.
    Manifest,
    /// A blob: `namespace/name@digest`.
    Blob,
    /// A whole namespace.
    Namespace,
    /// All that is stored here.
    Registry,
    /// A job.
    Job,
    /// A backup.
    Backup,
    /// An access token, by whose it is.
    Token,
    /// A robot: `namespace+name`.
    Robot,
    /// A name in client certificates.
    Certificate,
    /// A sealing key, by its id.
    Key,
}

impl Action {
    /// All of them, in the stored form's order.
    pub const ALL: [Self; 57] = [
        Self::AccountCreate,
        Self::AccountUpdate,
        Self::AccountAdmin,
        Self::AccountActivate,
        Self::AccountDeactivate,
        Self::AccountPassword,
        Self::AccountDelete,
        Self::OrganizationCreate,
        Self::OrganizationUpdate,
        Self::OrganizationDelete,
        Self::MemberAdd,
        Self::MemberUpdate,
        Self::MemberRemove,
        Self::TeamCreate,
        Self::TeamUpdate,
        Self::TeamDelete,
        Self::TeamMemberAdd,
        Self::TeamMemberUpdate,
        Self::TeamMemberRemove,
        Self::GrantSet,
        Self::GrantRemove,
        Self::RepositoryCreate,
        Self::RepositoryUpdate,
        Self::RepositoryDelete,
        Self::PolicyCreate,
        Self::PolicyUpdate,
        Self::PolicyDelete,
        Self::TagPush,
        Self::TagPromote,
        Self::TagPull,
        Self::TagRestore,
        Self::TagDelete,
        Self::ManifestDelete,
        Self::BlobDelete,
        Self::QuotaSet,
        Self::SettingsUpdate,
        Self::CollectionStart,
        Self::ScrubStart,
        Self::HealStart,
        Self::MirrorRun,
        Self::TagSend,
        Self::JobCancel,
        Self::JobDelete,
        Self::BackupBegin,
        Self::BackupKeys,
        Self::SignInFail,
        Self::TokenCreate,
        Self::TokenUpdate,
        Self::TokenDelete,
        Self::RobotCreate,
        Self::RobotUpdate,
        Self::RobotDelete,
        Self::CertificateMap,
        Self::CertificateUnmap,
        Self::KeyAdd,
        Self::KeyRetire,
        Self::RekeyStart,
    ];

    /// Its name, dotted: what it was done to, and what.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountCreate => "account.create",
            Self::AccountUpdate => "account.update",
            Self::AccountAdmin => "account.admin",
            Self::AccountActivate => "account.activate",
            Self::AccountDeactivate => "account.deactivate",
            Self::AccountPassword => "account.password",
            Self::AccountDelete => "account.delete",
            Self::OrganizationCreate => "organization.create",
            Self::OrganizationUpdate => "organization.update",
            Self::OrganizationDelete => "organization.delete",
            Self::MemberAdd => "member.add",
            Self::MemberUpdate => "member.update",
            Self::MemberRemove => "member.remove",
            Self::TeamCreate => "team.create",
            Self::TeamUpdate => "team.update",
            Self::TeamDelete => "team.delete",
            Self::TeamMemberAdd => "team.member.add",
            Self::TeamMemberUpdate => "team.member.update",
            Self::TeamMemberRemove => "team.member.remove",
            Self::GrantSet => "grant.set",
            Self::GrantRemove => "grant.remove",
            Self::RepositoryCreate => "repository.create",
            Self::RepositoryUpdate => "repository.update",
            Self::RepositoryDelete => "repository.delete",
            Self::PolicyCreate => "policy.create",
            Self::PolicyUpdate => "policy.update",
            Self::PolicyDelete => "policy.delete",
            Self::TagPush => "tag.push",
            Self::TagPromote => "tag.promote",
            Self::TagPull => "tag.pull",
            Self::TagRestore => "tag.restore",
            Self::TagDelete => "tag.delete",
            Self::ManifestDelete => "manifest.delete",
            Self::BlobDelete => "blob.delete",
            Self::QuotaSet => "quota.set",
            Self::SettingsUpdate => "settings.update",
            Self::CollectionStart => "collection.start",
            Self::ScrubStart => "scrub.start",
            Self::HealStart => "heal.start",
            Self::MirrorRun => "mirror.run",
            Self::TagSend => "tag.send",
            Self::JobCancel => "job.cancel",
            Self::JobDelete => "job.delete",
            Self::BackupBegin => "backup.begin",
            Self::BackupKeys => "backup.keys",
            Self::SignInFail => "signin.fail",
            Self::TokenCreate => "token.create",
            Self::TokenUpdate => "token.update",
            Self::TokenDelete => "token.delete",
            Self::RobotCreate => "robot.create",
            Self::RobotUpdate => "robot.update",
            Self::RobotDelete => "robot.delete",
            Self::CertificateMap => "certificate.map",
            Self::CertificateUnmap => "certificate.unmap",
            Self::KeyAdd => "key.add",
            Self::KeyRetire => "key.retire",
            Self::RekeyStart => "rekey.start",
        }
    }

    /// Whether it may be kept with the rows of a class.
    pub fn may_be_of(self, class: Class) -> bool {
        self.class() == class || class == Class::Own && self.class() == Class::Namespace
    }

    /// Which rows it is kept with, where it is not somebody's own.
    pub const fn class(self) -> Class {
        match self {
            Self::AccountCreate
            | Self::AccountAdmin
            | Self::AccountActivate
            | Self::AccountDeactivate
            | Self::AccountDelete
            | Self::OrganizationCreate
            | Self::OrganizationDelete
            | Self::QuotaSet
            | Self::SettingsUpdate
            | Self::CollectionStart
            | Self::ScrubStart
            | Self::HealStart
            | Self::JobCancel
            | Self::JobDelete
            | Self::BackupBegin
            | Self::BackupKeys
            | Self::CertificateMap
            | Self::CertificateUnmap
            | Self::KeyAdd
            | Self::KeyRetire
            | Self::RekeyStart => Class::System,
            Self::AccountUpdate
            | Self::AccountPassword
            | Self::OrganizationUpdate
            | Self::MemberAdd
            | Self::MemberUpdate
            | Self::MemberRemove
            | Self::TeamCreate
            | Self::TeamUpdate
            | Self::TeamDelete
            | Self::TeamMemberAdd
            | Self::TeamMemberUpdate
            | Self::TeamMemberRemove
            | Self::GrantSet
            | Self::GrantRemove
            | Self::RepositoryCreate
            | Self::RepositoryUpdate
            | Self::RepositoryDelete
            | Self::PolicyCreate
            | Self::PolicyUpdate
            | Self::PolicyDelete
            | Self::MirrorRun
            | Self::TokenCreate
            | Self::TokenUpdate
            | Self::TokenDelete
            | Self::RobotCreate
            | Self::RobotUpdate
            | Self::RobotDelete => Class::Namespace,
            Self::TagPush
            | Self::TagPromote
            | Self::TagPull
            | Self::TagRestore
            | Self::TagDelete
            | Self::TagSend
            | Self::ManifestDelete
            | Self::BlobDelete => Class::Content,
            Self::SignInFail => Class::SignIn,
        }
    }
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::System, Self::Namespace, Self::Content, Self::SignIn, Self::Own];

    /// Its number in keys.
    pub const fn number(self) -> u8 {
        match self {
            Self::System => 0,
            Self::Namespace => 1,
            Self::Content => 2,
            Self::SignIn => 3,
            Self::Own => 4,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Namespace => "namespace",
            Self::Content => "content",
            Self::SignIn => "signin",
            Self::Own => "own",
        }
    }
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Account,
        Self::Organization,
        Self::Team,
        Self::Repository,
        Self::Policy,
        Self::Tag,
        Self::Manifest,
        Self::Blob,
        Self::Namespace,
        Self::Registry,
        Self::Job,
        Self::Backup,
        Self::Token,
        Self::Robot,
        Self::Certificate,
        Self::Key,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Organization => "organization",
            Self::Team => "team",
            Self::Repository => "repository",
            Self::Policy => "policy",
            Self::Tag => "tag",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Namespace => "namespace",
            Self::Registry => "registry",
            Self::Job => "job",
            Self::Backup => "backup",
            Self::Token => "token",
            Self::Robot => "robot",
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dotted_words_and_each_stands_for_one_act() {
        let names: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for (place, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, place, "{action:?}");
            let name = action.as_str();
            assert!(name.contains('.') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'.'), "{name}");
        }
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(class.number()), place);
        }
    }

    #[test]
    fn the_page_for_operators_names_every_action_with_its_class() {
        let page = include_str!("../../docs/design/0011-audit.md");
        for action in Action::ALL {
            let row = format!("| `{}` | {} |", action.as_str(), action.class().as_str());
            assert!(page.contains(&row), "{row} is not on the page");
        }
    }
}
