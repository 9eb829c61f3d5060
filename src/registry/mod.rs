//! The protocol's meaning, without HTTP.
//!
//! A [`Registry`] answers what clients ask: uploads, blobs, manifests, tags,
//! lists; and what the management calls ask: repositories, accounts, policies,
//! promotions by hand. Rights are looked up in the very snapshot or
//! transaction that is read or changed ([`Caller`]). Changes are operations
//! for the store's writer: their `check` refuses with a [`RegistryError`],
//! their `apply` keeps links, tags and events in step in one commit.

/// Access tokens, and who shows one.
pub mod access_token;
/// Users and organizations.
pub mod account;
/// Accounts and namespaces that go.
pub mod account_removal;
/// Who did what.
pub mod audit;
/// Blobs: read, mount, delete.
pub mod blob;
/// Who is asking, and how much they may do.
pub mod caller;
/// The list of repositories.
pub mod catalog;
/// Which account a client certificate stands for.
pub mod certified;
/// What clients have been told is here.
mod claims;
/// Removing what nothing needs.
pub mod collect;
/// Conditional requests.
pub mod condition;
/// Moving an image to another repository here.
pub mod copy;
/// How often repositories are used.
pub mod count;
/// How deep indexes may lie in each other.
mod depth;
/// Why the registry says no.
pub mod error;
/// What teams may do, and what anybody may.
pub mod grant;
/// What a tag was, and the way back.
pub mod history;
/// Manifests: put, get, delete.
pub mod manifest;
/// Members of organizations.
pub mod organization;
/// Policies: saved, changed, removed.
pub mod policy;
/// What is damaged.
pub mod quarantine;
/// How much may be held.
pub mod quota;
/// Referrers.
pub mod referrer;
/// Manifests, removed.
mod removal;
/// Repositories: made, changed, removed.
pub mod repository;
/// Bytes on their way in.
mod reserve;
/// Robots: made, changed, removed.
pub mod robot;
/// What an operator sets.
pub mod settings;
/// The first system admin.
pub mod setup;
/// Tags: the one way to set one.
pub mod tag;
/// How many tags a repository keeps.
pub mod tag_limit;
/// Tags with their values, for listings.
pub mod tag_list;
/// Teams of organizations.
pub mod team;
/// The way that a tag's value came.
pub mod trail;
/// Files that no row names yet.
mod unnamed;
/// Upload sessions.
pub mod upload;

#[cfg(test)]
mod quota_test;
#[cfg(test)]
mod rights_test;

use std::sync::Arc;

pub use caller::{Caller, Role};
pub use error::RegistryError;

use crate::audit::Origin;
use crate::store::{Store, StoreError};
use claims::Claims;
use quarantine::Suspects;
use reserve::Quotas;
use upload::Sessions;

/// The registry over one store. Clones share it; what is done through one is
/// done on behalf of whomever its handle of the store stands for.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>, Store);

/// What an operator may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which manifests may name what is not there.
    pub sparse: Sparse,
    /// Whether what is public is for those alone who signed in.
    pub signed_in_only: bool,
}

/// Which manifests may name what is not there ("Pushing Manifests" leaves it to
/// the registry). What is absent is marked, and policies do not move an image
/// that lacks a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sparse {
    /// Indexes without some of their images, images without some (never all) of
    /// their layers.
    #[default]
    Images,
    /// Only indexes.
    Indexes,
    /// None.
    Refused,
}

/// A text that is none of the ways.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of `images` (indexes and images may lack parts), `indexes` (only those) and `refused` (none may)"
)]
pub struct NoSparse(String);

impl std::str::FromStr for Sparse {
    type Err = NoSparse;

    fn from_str(text: &str) -> Result<Self, NoSparse> {
        match text {
            "images" => Ok(Self::Images),
            "indexes" => Ok(Self::Indexes),
            "refused" => Ok(Self::Refused),
            _ => Err(NoSparse(text.to_owned())),
        }
    }
}

#[derive(Debug)]
struct Inner {
    options: Options,
    sessions: Sessions,
    claims: Claims,
    suspects: Suspects,
    quotas: Quotas,
}

impl Registry {
    /// Takes over a store and the upload sessions that its folder holds.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        Self::with(store, Options::default())
    }

    /// The same, set up by an operator.
    pub fn with(store: Store, options: Options) -> Result<Self, StoreError> {
        let quotas = Quotas::of(&store)?;
        let sessions = Sessions::rebuild(&store, &quotas)?;
        let (claims, suspects) = (Claims::default(), Suspects::default());
        Ok(Self(Arc::new(Inner { options, sessions, claims, suspects, quotas }), store))
    }

    /// Whether what is public is for those alone who signed in.
    pub fn signed_in_only(&self) -> bool {
        self.0.options.signed_in_only
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.1
    }

    /// The same registry for what somebody does: the audit log says from where.
    #[must_use]
    pub fn on_behalf_of(&self, origin: Arc<Origin>) -> Self {
        Self(Arc::clone(&self.0), self.1.on_behalf_of(origin))
    }

    fn claims(&self) -> &Claims {
        &self.0.claims
    }

    fn suspects(&self) -> &Suspects {
        &self.0.suspects
    }

    fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }
}
