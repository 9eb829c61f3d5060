//! The registry against a model of it, with collection going on.
//!
//! Random acts of clients, and collection cut into the steps it has: a slice is
//! looked up, other things happen, the slice is removed. The model knows what
//! clients were told and what may go; what is really there is held against it
//! after every act. The same once more without a model: many clients at once,
//! and collection all the time.

/// What is true of a registry, by the simplest means.
mod model;
/// Many clients at once, and collection all the time.
mod press;
/// Contents that are pushed: blobs, images, indexes, referrers.
mod shelf;
/// Acts, on the registry and on the model.
mod walk;
