//! The reactor over a real store.

/// Repositories that are deleted.
mod gone;
/// What comes after what it belongs to.
mod late;
/// Chains that come back.
mod loops;
/// How long it takes.
mod measure;
/// What comes late beside what is newer.
mod order;
/// Pushes in, promotions and transfers out.
mod promotion;
/// Targets without room.
mod quota;
/// Policies whose owner loses the right.
mod rights;
/// A registry to try it on.
mod world;
