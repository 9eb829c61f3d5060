//! The reactor over a real store.

/// What comes after what it belongs to.
mod late;
/// Chains that come back.
mod loops;
/// Pushes in, promotions and transfers out.
mod promotion;
/// A registry to try it on.
mod world;
