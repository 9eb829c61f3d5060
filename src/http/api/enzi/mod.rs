//! The accounts API, `/enzi/v0`: users, organizations, members, teams, and
//! what its clients ask of a system without a directory (LDAP).
//!
//! A request becomes an `EnziRoute`, which says what right it needs; the calls
//! shape what the registry says. Names and ids both do in every path, a name
//! first: one may look like an id.

/// What is asked for, as data.
mod route;
/// Accounts, members and teams as clients read them.
mod shape;

/// Users and organizations.
mod account;
/// Answers of a system without a directory.
mod directory;
/// Members of organizations and teams.
mod member;
/// Teams.
mod team;

/// One call from its route to its answer.
mod dispatch;

pub(super) use dispatch::answer;
pub(in crate::http) use route::EnziRoute;
pub(super) use shape::AccountShape;
