//! Every route and method of the daemon, asked by everyone, about every kind of
//! repository: what is answered, against what is written down here.
//!
//! [`table`] has a row for each route: the right that it needs, and what whoever
//! has it is answered. [`people`] says who has what. Neither asks the code that
//! decides. [`kinds`] holds the table against the routes there are: one that is
//! new does not compile without an arm there, and no arm goes without a row.
//! [`ground`] is the registry that is asked, with everything in it that the rows
//! name; [`cells`] asks.
//!
//! [`ends`] is about credentials that hold no more, [`uploads`] about sessions
//! and mounts.

/// The rows.
mod table;

/// Which routes there are.
mod kinds;

/// Who asks, and what it has.
mod people;

/// What is asked about.
mod ground;

/// The matrix.
mod cells;

/// What ends a credential, in each form.
mod ends;

/// Sessions of uploads, and mounts.
mod uploads;
