//! Policies
mod cron_text;
pub mod id;
pub mod rule;
pub mod schedule;
pub mod template;
mod wall;
pub mod zone;
