//! Policies
pub mod id;
pub mod rule;
pub mod template;
pub mod zone;
