//! Who asks, and what each has: on every kind of repository, and beside them.

use crate::http::harness::{Ask, PASSWORD, basic};

/// One of those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Says no name.
    Anonymous,
    /// The reader with a wrong password.
    WrongPassword,
    /// The reader with an access token that is over.
    Expired,
    /// The reader with an access token that was taken back.
    Revoked,
    /// In a team that may read.
    Reader,
    /// In a team of another organization that may push there.
    Elsewhere,
    /// In a team that may push; leads it.
    Pusher,
    /// In a team that is admin of the repository.
    PolicyWriter,
    /// A system admin.
    Admin,
    /// An owner of the organization.
    Owner,
    /// A robot of the organization whose scope is to push to the repository.
    Robot,
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The repository that the teams have grants on.
    Own,
    /// One beside it whose name begins with its name.
    Neighbour,
    /// One below it, with other grants.
    Nested,
    /// One that everyone may read.
    Public,
    /// One of another organization.
    Other,
    /// One that is not there.
    Missing,
}

/// What somebody has on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Has {
    /// Nothing: it is as if it were not there.
    Nothing,
    /// Pulls.
    Reads,
    /// Pulls and pushes; removes nothing.
    Pushes,
    /// Removes too.
    Writes,
    /// Everything.
    Rules,
}

use Has::{Nothing, Pushes, Reads, Rules, Writes};

/// Everyone, and what they have: own, neighbour, nested, public, other, missing.
/// Those who are not known have nothing anywhere, whatever is public.
pub(super) const PEOPLE: [(Who, [Has; 6]); 11] = [
    (Who::Anonymous, [Nothing, Nothing, Nothing, Reads, Nothing, Nothing]),
    (Who::WrongPassword, [Nothing; 6]),
    (Who::Expired, [Nothing; 6]),
    (Who::Revoked, [Nothing; 6]),
    (Who::Reader, [Reads, Nothing, Nothing, Reads, Nothing, Nothing]),
    (Who::Elsewhere, [Nothing, Nothing, Nothing, Reads, Writes, Nothing]),
    (Who::Pusher, [Writes, Nothing, Reads, Reads, Nothing, Nothing]),
    (Who::PolicyWriter, [Rules, Nothing, Writes, Reads, Nothing, Nothing]),
    (Who::Admin, [Rules; 6]),
    (Who::Owner, [Rules, Rules, Rules, Rules, Nothing, Rules]),
    // What its scopes do not name is nothing to it, but for what everyone reads.
    (Who::Robot, [Pushes, Nothing, Nothing, Reads, Nothing, Nothing]),
];

impl Place {
    pub(super) const ALL: [Self; 6] =
        [Self::Own, Self::Neighbour, Self::Nested, Self::Public, Self::Other, Self::Missing];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Own => "dev/app",
            Self::Neighbour => "dev/app-x",
            Self::Nested => "dev/app/deep",
            Self::Public => "dev/pub",
            Self::Other => "qa/app",
            Self::Missing => "dev/nil",
        }
    }

    /// A name as long, in the same namespace, that nothing has.
    pub(super) const fn absent(self) -> &'static str {
        match self {
            Self::Own => "dev/nix",
            Self::Neighbour => "dev/nix-x",
            Self::Nested => "dev/nix/deep",
            Self::Public => "dev/nup",
            Self::Other => "qa/nix",
            Self::Missing => "dev/nox",
        }
    }
}

impl Who {
    /// Whether the daemon knows who it is.
    pub(super) const fn is_known(self) -> bool {
        match self {
            Self::Anonymous | Self::WrongPassword | Self::Expired | Self::Revoked => false,
            Self::Reader
            | Self::Elsewhere
            | Self::Pusher
            | Self::PolicyWriter
            | Self::Admin
            | Self::Owner
            | Self::Robot => true,
        }
    }

    /// What it has on a repository.
    pub(super) fn has(self, place: Place) -> Has {
        let row = PEOPLE.iter().find(|(who, _)| *who == self).expect("everyone has a row");
        row.1[Place::ALL.iter().position(|other| *other == place).expect("every place has a column")]
    }

    /// The account it is, where it is one that has a password.
    pub(super) const fn account(self) -> Option<&'static str> {
        match self {
            Self::Anonymous | Self::WrongPassword | Self::Expired | Self::Revoked | Self::Robot => None,
            Self::Reader => Some("reader"),
            Self::Elsewhere => Some("elsewhere"),
            Self::Pusher => Some("pusher"),
            Self::PolicyWriter => Some("writer"),
            Self::Admin => Some("root"),
            Self::Owner => Some("owner"),
        }
    }

    /// A request as it sends it; `token` is what it has in place of a password.
    pub(super) fn sign(self, ask: Ask, token: &str) -> Ask {
        let credentials = match self {
            Self::Anonymous => return ask,
            Self::WrongPassword => basic("reader", "wrong horse"),
            Self::Expired | Self::Revoked => basic("reader", token),
            Self::Robot => basic("dev+ci", token),
            Self::Reader | Self::Elsewhere | Self::Pusher | Self::PolicyWriter | Self::Admin | Self::Owner => {
                basic(self.account().expect("they have one"), PASSWORD)
            }
        };
        ask.header("authorization", &credentials)
    }
}
