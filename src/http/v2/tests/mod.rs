//! The registry API over real connections: what clients do, and what they do
//! wrong.

/// What went wrong elsewhere, one test each.
mod advisories;
/// Conditional requests.
mod condition;
/// Bytes that are damaged here.
mod damage;
/// Listings and their pages.
mod list;
/// Manifests and blobs, read.
mod pull;
/// Every way to get bytes and manifests in.
mod push;
/// Quotas.
mod quota;
/// Bad input, one refusal each.
mod refuse;
/// What is removed, and what stays.
mod removal;
/// Who may do what, and what the others are told.
mod rights;
/// What a server needs, row by row.
mod rows;
/// What a server has too little of: room on the disk, memory, patience.
mod scarce;
/// How many tags there may be.
mod tags;
